package config

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

const (
	// maxBytes bounds a file before it is read.
	maxBytes = 16 << 20
	// maxMarks bounds the work of the YAML parser, a second in the worst case: the most line ends,
	// commas, colons, brackets and dashes in a file. A route has five to seven, a NAT rule fifteen.
	maxMarks = 600_000
	// maxDepth is twice what the types need.
	maxDepth = 16
)

// Load reads the file at path, once and whole, and checks it. The error is Errors when the file
// could be read.
func Load(path string) (*Config, error) {
	// Not blocking: a FIFO without a writer reads as empty.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return nil, Errors{{File: path, Got: "a directory", Want: "a file"}}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse checks data and returns it with every default filled in. name stands for the file in errors
// and in Config.File. The error is always Errors.
func Parse(name string, data []byte) (*Config, error) {
	r := &report{file: name}
	if !scan(data, r) {
		return nil, r.err()
	}
	root := parseYAML(data, r)
	if root == nil || !plain(root, r) {
		return nil, r.err()
	}
	c := decode(root, r)
	c.File, c.Hash = name, sha256.Sum256(data)
	check(c, root, r)
	if err := r.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// scan refuses what is cheaper to find in bytes than in YAML: size, encoding, tabs.
func scan(data []byte, r *report) bool {
	if len(data) > maxBytes {
		r.add(1, "", "more than 16 MiB", "a file of at most 16 MiB")
		return false
	}
	marks, number := 0, 0
	for line := range bytes.Lines(data) {
		number++
		switch i := badByte(line); {
		case i >= 0:
			r.add(number, "", fmt.Sprintf("byte 0x%02x", line[i]), "UTF-8 text without control characters")
			return false
		case tabIndented(line):
			r.add(number, "", "a tab in the indentation", "spaces")
		case line[0] == '%':
			r.add(number, "", "a YAML directive", "none")
		}
		if marks += count(line); marks > maxMarks {
			r.add(number, "", "too large a document", fmt.Sprintf("at most %d line ends, commas, colons, brackets and dashes together", maxMarks))
			return false
		}
	}
	return len(r.errs) == 0
}

// count returns how many marks line costs; what anchors and tags cost the parser is more.
func count(line []byte) (marks int) {
	for _, b := range line {
		switch b {
		case '\n', ',', ':', '[', '{', '-':
			marks++
		case '&', '*', '!':
			marks += 8
		}
	}
	return marks
}

// badByte returns the index of the first byte of line that no configuration holds, or -1.
func badByte(line []byte) int {
	for i := 0; i < len(line); {
		c, size := utf8.DecodeRune(line[i:])
		switch {
		case c == utf8.RuneError && size == 1, c == 0xfeff, c == 0x7f,
			c < ' ' && c != '\t' && c != '\n' && c != '\r':
			return i
		}
		i += size
	}
	return -1
}

func tabIndented(line []byte) bool {
	rest := bytes.TrimLeft(line, " ")
	return len(rest) > 0 && rest[0] == '\t' && len(bytes.TrimSpace(rest)) > 0
}

// parseYAML returns the one document in data, or nil when there is none or more than one.
func parseYAML(data []byte, r *report) *yaml.Node {
	var doc, second yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		r.add(1, "", "an empty file", `a mapping with the key "ports"`)
		return nil
	} else if err != nil {
		syntax(err, data, r)
		return nil
	}
	if err := dec.Decode(&second); err == nil {
		r.add(second.Line, "", "a second document", "one document")
		return nil
	} else if !errors.Is(err, io.EOF) {
		syntax(err, data, r)
		return nil
	}
	return doc.Content[0]
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

// syntax reports an error of the YAML parser.
func syntax(err error, data []byte, r *report) {
	text := err.Error()
	line := 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	text = strings.TrimPrefix(text, "yaml: ")
	if len(data) <= maxSearch {
		line = brokenLine(text, data)
	}
	r.add(line, "", "broken YAML: "+text, "YAML")
}

// maxSearch is the largest file that is parsed again to find the line of an error.
const maxSearch = 256 << 10

// brokenLine returns the first line that makes the parser say text. The parser itself often names
// the start of the list or mapping around it, or nothing.
func brokenLine(text string, data []byte) int {
	var ends []int
	for i, b := range data {
		if b == '\n' {
			ends = append(ends, i+1)
		}
	}
	i, _ := slices.BinarySearchFunc(ends, text, func(end int, text string) int {
		dec := yaml.NewDecoder(bytes.NewReader(data[:end]))
		var n yaml.Node
		err := dec.Decode(&n)
		for err == nil {
			err = dec.Decode(&n)
		}
		if strings.HasSuffix(err.Error(), text) {
			return 0
		}
		return -1
	})
	return i + 1
}

// plain refuses the parts of YAML that hide what a file says: anchors, aliases, merge keys, tags.
func plain(root *yaml.Node, r *report) bool {
	var walk func(n *yaml.Node, depth int)
	walk = func(n *yaml.Node, depth int) {
		switch {
		case r.full():
			return
		case depth > maxDepth:
			r.add(n.Line, "", "a value nested too deep", fmt.Sprintf("at most %d levels", maxDepth))
			return
		case n.Kind == yaml.AliasNode:
			r.add(n.Line, "", "the alias *"+clip(n.Value), "the value itself")
			return
		case n.Anchor != "":
			r.add(n.Line, "", "the anchor &"+clip(n.Anchor), "no anchors")
		case n.Style&yaml.TaggedStyle != 0:
			r.add(n.Line, "", "the tag "+clip(n.Tag), "no tags")
		}
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 && child.Tag == "!!merge" {
				r.add(child.Line, "", "the merge key <<", "the keys themselves")
				continue
			}
			walk(child, depth+1)
		}
	}
	walk(root, 0)
	return len(r.errs) == 0
}
