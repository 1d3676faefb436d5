package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"gopkg.in/yaml.v3"
)

// A format is how a view is printed.
type format string

// Set implements flag.Value.
func (f *format) Set(v string) error {
	switch v {
	case "table", "json", "yaml":
		*f = format(v)
		return nil
	}
	return fmt.Errorf("want table, json or yaml")
}

func (f *format) String() string { return string(*f) }

// outputFlag adds -o.
func outputFlag(fs *flag.FlagSet) *format {
	f := format("table")
	fs.Var(&f, "o", "output `FORMAT`: table, json or yaml")
	return &f
}

// print writes v in the format; as a table it is what table writes, with columns
// parted by tabs.
func (f format) print(w io.Writer, v any, table func(w io.Writer)) error {
	switch f {
	case "json":
		return printJSON(w, v)
	case "yaml":
		return printYAML(w, v)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	table(tw)
	return tw.Flush()
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printYAML writes the keys and values that v has in JSON, in the same order. JSON
// is YAML, but in a style that nobody wants to read.
func printYAML(w io.Writer, v any) error {
	var text strings.Builder
	if err := printJSON(&text, v); err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text.String()), &doc); err != nil {
		return err
	}
	plain(&doc)
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return err
	}
	return e.Close()
}

// plain takes JSON's braces and quotes off, but leaves quotes where some reader of
// YAML would take the string for something else: yes, 12, 1:2.
func plain(n *yaml.Node) {
	if len(n.Content) > 0 || n.Tag == "!!str" && !quoted(n.Value) {
		n.Style = 0
	}
	for _, c := range n.Content {
		plain(c)
	}
}

// quoted says whether YAML writes the string in quotes.
func quoted(s string) bool {
	text, err := yaml.Marshal(s)
	return err != nil || strings.ContainsRune(`"'|>`, rune(text[0]))
}
