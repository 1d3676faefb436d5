// Command vra is the edge gateway of a Kubernetes cluster and the tool of its
// operator: each sub-command is one file here, and "vra --help" lists them.
//
// Exit status: 0 done, 1 what was asked for did not succeed, 2 the command line was
// not understood.
package main

import "os"

func main() {
	os.Exit(execute(os.Args[1:], &streams{os.Stdout, os.Stderr}))
}
