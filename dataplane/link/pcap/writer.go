package pcap

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxComment is the longest comment of a frame, in bytes: an option's length is a
// 16-bit number.
const maxComment = 65532

// Writer writes pcapng: one section, in little-endian order, with times in
// nanoseconds and nothing of the machine or the moment, so that the same calls
// write the same bytes. Not for concurrent use.
type Writer struct {
	w          *bufio.Writer
	interfaces int
	head       [28]byte
	err        error // the first one
	closer     io.Closer
}

// Create creates the file, or empties it. The caller closes the writer.
func Create(path string) (*Writer, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create capture: %w", err)
	}
	w := NewWriter(f)
	w.closer = f
	return w, nil
}

// NewWriter writes to w, at the latest when Flush is called.
func NewWriter(w io.Writer) *Writer {
	n := &Writer{w: bufio.NewWriterSize(w, 64<<10)}
	b := n.start(sectionBlock, 28)
	le.PutUint32(b[8:], byteOrderMagic)
	le.PutUint16(b[12:], 1)                  // version 1.0
	le.PutUint64(b[16:], 0xffffffffffffffff) // length of the section not said
	n.write(b[:24])
	n.end(28)
	return n
}

var le = binary.LittleEndian

// AddInterface describes the next interface and returns its number, from 0.
func (w *Writer) AddInterface(name string, link LinkType) (int, error) {
	if len(name) > 255 {
		return 0, fmt.Errorf("interface name of %d bytes: want at most 255", len(name))
	}
	total := 20 + option(len(name)) + option(1) + 4
	b := w.start(interfaceBlock, total)
	le.PutUint16(b[8:], uint16(link))
	w.write(b[:16]) // no snaplen
	w.option(2, name)
	w.option(9, "\x09") // nanoseconds
	w.option(0, "")
	w.end(total)
	w.interfaces++
	return w.interfaces - 1, w.err
}

// Write writes a frame of the interface, length bytes on the wire, captured at
// time, in nanoseconds since 1970. The comment may be empty; it is cut at 65,532
// bytes. It does not keep the frame.
func (w *Writer) Write(iface int, time int64, frame []byte, length int, comment string) error {
	if w.err != nil {
		return w.err
	}
	switch {
	case iface < 0 || iface >= w.interfaces:
		return fmt.Errorf("write frame: interface %d is not described", iface)
	case len(frame) > MaxCapture || length < len(frame):
		return fmt.Errorf("write frame: got %d bytes of %d; want at most %d", len(frame), length, MaxCapture)
	}
	comment = comment[:min(len(comment), maxComment)]
	total := 32 + pad(len(frame))
	if comment != "" {
		total += option(len(comment)) + 4
	}
	b := w.start(enhancedBlock, total)
	le.PutUint32(b[8:], uint32(iface))
	le.PutUint32(b[12:], uint32(uint64(time)>>32))
	le.PutUint32(b[16:], uint32(time))
	le.PutUint32(b[20:], uint32(len(frame)))
	le.PutUint32(b[24:], uint32(length))
	w.write(b[:28])
	w.write(frame)
	w.zeros(pad(len(frame)) - len(frame))
	if comment != "" {
		w.option(1, comment)
		w.option(0, "")
	}
	w.end(total)
	return w.err
}

// Flush writes out what is buffered.
func (w *Writer) Flush() error {
	if err := w.w.Flush(); w.err == nil {
		w.err = err
	}
	return w.err
}

// Close flushes and closes the file that Create created. It is idempotent.
func (w *Writer) Close() error {
	if w.closer == nil {
		return w.Flush()
	}
	err := errors.Join(w.Flush(), w.closer.Close())
	w.closer = nil
	return err
}

// pad returns n rounded up to 4.
func pad(n int) int { return (n + 3) &^ 3 }

// option returns the length of an option with a value of n bytes.
func option(n int) int { return 4 + pad(n) }

// start returns a cleared head with a block's type and total length.
func (w *Writer) start(typ uint32, total int) *[28]byte {
	clear(w.head[:])
	le.PutUint32(w.head[:], typ)
	le.PutUint32(w.head[4:], uint32(total))
	return &w.head
}

// end writes the total length again.
func (w *Writer) end(total int) {
	le.PutUint32(w.head[:], uint32(total))
	w.write(w.head[:4])
}

func (w *Writer) option(code uint16, value string) {
	le.PutUint16(w.head[:], code)
	le.PutUint16(w.head[2:], uint16(len(value)))
	w.write(w.head[:4])
	if _, err := w.w.WriteString(value); w.err == nil {
		w.err = err
	}
	w.zeros(pad(len(value)) - len(value))
}

func (w *Writer) zeros(n int) {
	clear(w.head[:4])
	w.write(w.head[:n])
}

func (w *Writer) write(b []byte) {
	if _, err := w.w.Write(b); w.err == nil {
		w.err = err
	}
}
