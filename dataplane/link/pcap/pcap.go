// Package pcap reads and writes capture files, and is the driver for ports whose
// frames come from one and go to another.
//
// Read are pcap files (by gopacket's pcapgo) and pcapng files, both also in gzip,
// with the link types Ethernet, Linux cooked (both versions) and raw IP, mixed in
// one file where the format allows. pcapng has a reader of its own here, because
// pcapgo's believes the lengths in a file: some bytes make it take gigabytes or
// panic. Written is pcapng: nanoseconds, comments, and the same bytes for the same
// input.
package pcap

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
)

// MaxCapture is the longest captured frame that is read, in bytes, as tcpdump's.
const MaxCapture = 256 << 10

// Record is a captured frame.
type Record struct {
	// Number counts the file's frames from 1.
	Number int
	// Time is when it was captured, in nanoseconds since 1970.
	Time int64
	// Data is what was captured of the frame. Borrowed until the next Next.
	Data []byte
	// Len is the frame's length on the wire, at least that of Data. It is more
	// where the capture has only the frame's start.
	Len int
	// Link says what Data starts with.
	Link LinkType
	// Interface is the number of the interface in its section of the file.
	Interface int
}

// Cut says that the capture does not hold the whole frame.
func (r *Record) Cut() bool { return len(r.Data) < r.Len }

// Reader reads the frames of one file in their order. Not for concurrent use.
type Reader struct {
	name   string
	format format
	record Record
	err    error // of the last Next
	closer io.Closer
}

// format reads one kind of file. next fills r, but for Number. It returns io.EOF
// at the end of a file that is whole.
type format interface {
	next(r *Record) error
}

// Open opens a capture file. The caller closes it.
func Open(path string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open capture: %w", err)
	}
	r, err := NewReader(path, f)
	if err != nil {
		f.Close()
		return nil, err
	}
	r.closer = f
	return r, nil
}

// NewReader reads a capture from r; name is for errors.
func NewReader(name string, r io.Reader) (*Reader, error) {
	f, err := detect(r)
	if err != nil {
		return nil, fmt.Errorf("capture %q: %w", name, whole(err))
	}
	return &Reader{name: name, format: f}, nil
}

// detect looks at the first bytes, below a layer of gzip if there is one.
func detect(r io.Reader) (format, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	if magic, err := b.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		b = bufio.NewReaderSize(z, 64<<10)
	}
	magic, err := b.Peek(4)
	if err == io.EOF && len(magic) == 0 {
		return nil, errors.New("empty file; want pcap or pcapng")
	}
	if err != nil {
		return nil, err
	}
	if string(magic) == "\x0a\x0d\x0d\x0a" {
		return newNG(b)
	}
	return newClassic(b)
}

// Next returns the next frame, borrowed until the call after. It returns io.EOF at
// the end, and the same error again after one.
func (r *Reader) Next() (*Record, error) {
	if r.err != nil {
		return nil, r.err
	}
	r.record.Number++
	err := r.format.next(&r.record)
	if err == io.EOF {
		r.err = err
		return nil, err
	}
	if err != nil {
		r.err = fmt.Errorf("capture %q: record %d: %w", r.name, r.record.Number, whole(err))
		return nil, r.err
	}
	return &r.record, nil
}

// Close closes the file that Open opened. It is idempotent.
func (r *Reader) Close() error {
	if r.closer == nil {
		return nil
	}
	c := r.closer
	r.closer = nil
	r.err = os.ErrClosed
	return c.Close()
}

// whole words the end of a file where it may not be.
func whole(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the file is cut off: %w", io.ErrUnexpectedEOF)
	}
	return err
}
