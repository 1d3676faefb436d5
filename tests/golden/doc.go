// Package golden replays captures through the gateway and compares what comes out with
// what is kept. A case is a folder:
//
//	config.yaml        the gateway; its first lines tell the story
//	in-PORT.pcapng     what comes in by a port (or .pcap, or either in gzip)
//	out-PORT.pcapng    what left by a port, if anything did
//	verdicts.txt       a line for each packet that came in: what became of it
//
// What comes in is built by the case's function in cases_*_test.go, by an encoder that
// knows nothing of the gateway. To add or change a case, edit the function and
// config.yaml, run
//
//	go test ./tests/golden -update
//
// and review verdicts.txt as one would code: the captures follow from it.
package golden
