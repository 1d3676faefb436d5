package config

import (
	"fmt"
	"sort"
	"strings"
)

const (
	// maxErrors is how many errors are kept; reading goes on, so that a hostile file costs no memory.
	maxErrors = 1000
	// maxShown is how many errors Errors.Error prints.
	maxShown = 20
)

// Error is one thing that is wrong with a file.
type Error struct {
	File string
	// Line counts from 1; 0 is the file as a whole.
	Line int
	// Path is the way to the value, as ports[0].mtu. Empty is the document.
	Path string
	// Got is the value as written, quoted, or words for it; Want is the rule.
	Got, Want string
}

// Error returns FILE:LINE: PATH: got GOT; want WANT.
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	fmt.Fprintf(&b, "got %s; want %s", e.Got, e.Want)
	return b.String()
}

// Errors is everything that is wrong with a file, in file order; at most 1000 are kept.
type Errors []Error

// Error returns one line for each of the first twenty errors, and how many more there are.
func (es Errors) Error() string {
	var lines []string
	for i, e := range es {
		if i == maxShown {
			more := fmt.Sprintf("and %d more", len(es)-maxShown)
			if len(es) == maxErrors {
				more = fmt.Sprintf("and at least %d more", len(es)-maxShown)
			}
			lines = append(lines, more)
			break
		}
		lines = append(lines, e.Error())
	}
	return strings.Join(lines, "\n")
}

// report gathers errors.
type report struct {
	file string
	errs Errors
}

func (r *report) add(line int, path, got, want string) {
	if len(r.errs) < maxErrors {
		r.errs = append(r.errs, Error{r.file, line, path, got, want})
	}
}

// full reports whether further errors would be forgotten.
func (r *report) full() bool { return len(r.errs) >= maxErrors }

// err returns the errors in file order, or nil.
func (r *report) err() error {
	if len(r.errs) == 0 {
		return nil
	}
	sort.SliceStable(r.errs, func(i, j int) bool { return r.errs[i].Line < r.errs[j].Line })
	return r.errs
}
