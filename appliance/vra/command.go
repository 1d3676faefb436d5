package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// Defaults of flags that several commands have.
const (
	defaultConfig = "/etc/vra/vra.yaml"
	defaultSocket = "/run/vra/admin.sock"
)

// streams are where a command writes: out what was asked for, err everything else.
type streams struct{ out, err io.Writer }

// A command is one sub-command.
type command struct {
	name, summary string
	// args names what follows the flags, empty if nothing may.
	args     string
	examples []string
	// setup adds the command's flags and returns what runs it. args are those
	// that are no flags.
	setup func(fs *flag.FlagSet) func(ctx context.Context, s *streams, args []string) error
}

// commands returns the table of sub-commands, in the order of the help.
func commands() []command {
	return []command{
		runCommand(), checkCommand(), replayCommand(), demoCommand(),
		statusCommand(), reloadCommand(), showCommand(), versionCommand(),
	}
}

// errSaid ends a command that has already said what is wrong.
var errSaid = errors.New("said")

// A usageError is about the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// execute runs the command line and returns the exit status.
func execute(args []string, s *streams) int {
	table := commands()
	if len(args) == 0 {
		helpAll(s.err, table)
		return exitUsage
	}
	name := args[0]
	if slices.Contains([]string{"help", "-h", "-help", "--help"}, name) {
		if len(args) == 1 {
			helpAll(s.out, table)
			return exitOK
		}
		name, args = args[1], []string{"", "--help"}
	}
	i := slices.IndexFunc(table, func(c command) bool { return c.name == name })
	if i < 0 {
		names := make([]string, len(table))
		for i, c := range table {
			names[i] = c.name
		}
		fmt.Fprintf(s.err, "vra: unknown command %q%s\nvra --help lists the commands\n", name, didYouMean(name, names))
		return exitUsage
	}
	return table[i].execute(args[1:], s)
}

func (c *command) execute(args []string, s *streams) int {
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // we say it ourselves
	run := c.setup(fs)
	rest, err := parse(fs, args)
	if errors.Is(err, flag.ErrHelp) {
		c.help(s.out, fs)
		return exitOK
	}
	if err == nil && c.args == "" && len(rest) > 0 {
		err = usagef("unexpected argument %q", rest[0])
	}
	if err == nil {
		err = run(context.Background(), s, rest)
	}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errSaid):
		return exitFailed
	case errors.As(err, new(*usageError)):
		fmt.Fprintf(s.err, "vra %s: %v\nvra %[1]s --help says what it takes\n", c.name, err)
		return exitUsage
	}
	fmt.Fprintf(s.err, "vra %s: %v\n", c.name, err)
	return exitFailed
}

// parse parses flags wherever they stand and returns the other arguments.
func parse(fs *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, explainFlag(fs, err)
		}
		if fs.NArg() == 0 {
			return rest, nil
		}
		if used := len(args) - fs.NArg(); used > 0 && args[used-1] == "--" {
			return append(rest, fs.Args()...), nil
		}
		rest, args = append(rest, fs.Arg(0)), fs.Args()[1:]
	}
}

// explainFlag makes a usageError of an error of package flag, with the nearest
// known flag if it is about an unknown one.
func explainFlag(fs *flag.FlagSet, err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	unknown, found := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !found {
		return usagef("%v", err)
	}
	var known []string
	fs.VisitAll(func(f *flag.Flag) { known = append(known, dashed(f.Name)) })
	return usagef("unknown flag %s%s", dashed(unknown), didYouMean(dashed(unknown), known))
}

func dashed(flagName string) string {
	if len(flagName) == 1 {
		return "-" + flagName
	}
	return "--" + flagName
}

func helpAll(w io.Writer, table []command) {
	fmt.Fprint(w, "vra is the edge gateway of a Kubernetes cluster.\n\nUsage:\n  vra COMMAND [flags]\n\nCommands:\n")
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, c := range table {
		fmt.Fprintf(tw, "  %s\t%s\n", c.name, c.summary)
	}
	tw.Flush()
	fmt.Fprint(w, "\nvra COMMAND --help tells more, with examples.\n")
}

func (c *command) help(w io.Writer, fs *flag.FlagSet) {
	fmt.Fprintf(w, "vra %s: %s.\n\nUsage:\n  %s\n", c.name, c.summary, strings.TrimSpace("vra "+c.name+" [flags] "+c.args))
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	title := "\nFlags:\n"
	fs.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			text += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(tw, "%s  %s\t%s\n", title, strings.TrimSpace(dashed(f.Name)+" "+value), text)
		title = ""
	})
	tw.Flush()
	fmt.Fprint(w, "\nExamples:\n")
	for _, e := range c.examples {
		fmt.Fprintf(w, "  %s\n", e)
	}
}
