// Package pcapdiff compares captures packet by packet and field by field, and says in
// words where they differ:
//
//	outside.pcapng packet 3: ipv4.ttl: got 63; want 62
//
// It decodes with gopacket, which knows nothing of the gateway, so that it is a second
// opinion. Captures are files of ours or of an operator; they are read whole, up to
// MaxBytes each. Nothing here is called from the path.
package pcapdiff

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A Difference is one thing in which what was got is not what was wanted.
type Difference struct {
	// File is the capture's name without its folder.
	File string
	// Packet counts from 1 in the capture that has the packet: the one that was
	// got, unless the packet is missing there. 0 is the file as a whole.
	Packet int
	// Field is as "inner.ipv4.ttl"; empty for the packet as a whole.
	Field     string
	Got, Want string
}

// String returns the difference as one line.
func (d Difference) String() string {
	where := d.File
	if d.Packet > 0 {
		where = fmt.Sprintf("%s packet %d", where, d.Packet)
	}
	if d.Field != "" {
		where += ": " + d.Field
	}
	return fmt.Sprintf("%s: got %s; want %s", where, d.Got, d.Want)
}

// Dirs compares the captures of two folders by name: those of want are all compared,
// and those of got that are not in want must hold no packets. Captures end in .pcap or
// .pcapng, with .gz after it or not.
func Dirs(got, want string) ([]Difference, error) {
	gotNames, err := captures(got)
	if err != nil {
		return nil, err
	}
	wantNames, err := captures(want)
	if err != nil {
		return nil, err
	}
	if len(wantNames) == 0 {
		return nil, fmt.Errorf("compare with %q: it has no captures", want)
	}
	var all []Difference
	for _, name := range wantNames {
		d, err := files(name, filepath.Join(got, name), filepath.Join(want, name))
		if errors.Is(err, fs.ErrNotExist) {
			d, err = []Difference{{File: name, Got: "no such capture", Want: "one"}}, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, d...)
	}
	known := make(map[string]bool)
	for _, name := range wantNames {
		known[name] = true
	}
	for _, name := range gotNames {
		if known[name] {
			continue
		}
		packets, err := Read(filepath.Join(got, name))
		if err != nil {
			return nil, err
		}
		if len(packets) > 0 {
			all = append(all, Difference{File: name, Got: count(len(packets)), Want: "none: it is not expected"})
		}
	}
	return all, nil
}

func files(name, got, want string) ([]Difference, error) {
	g, err := Read(got)
	if err != nil {
		return nil, err
	}
	w, err := Read(want)
	if err != nil {
		return nil, err
	}
	return Packets(name, g, w), nil
}

// captures returns the names of a folder's captures, in order.
func captures(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		switch filepath.Ext(strings.TrimSuffix(e.Name(), ".gz")) {
		case ".pcap", ".pcapng":
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func count(n int) string {
	if n == 1 {
		return "1 packet"
	}
	return fmt.Sprintf("%d packets", n)
}
