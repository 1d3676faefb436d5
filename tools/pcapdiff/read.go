package pcapdiff

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// MaxBytes is the largest capture that is read, unpacked.
const MaxBytes = 256 << 20

// A Packet is one record of a capture.
type Packet struct {
	Time time.Time
	Link layers.LinkType
	// Length is that of the packet on the wire, of which Data may be the start.
	Length int
	Data   []byte
}

// Read reads a capture, pcap or pcapng, packed with gzip or not.
func Read(path string) ([]Packet, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	packets, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("read capture %q: %w", path, err)
	}
	return packets, nil
}

func read(r io.Reader) ([]Packet, error) {
	in := bufio.NewReader(r)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unpacked, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		in = bufio.NewReader(unpacked)
	}
	data, err := io.ReadAll(io.LimitReader(in, MaxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("got over %d bytes; want no more", MaxBytes)
	}
	if len(data) >= 4 && binary.BigEndian.Uint32(data) == ngMagic {
		return readNg(data)
	}
	return readClassic(data)
}

func readClassic(data []byte) ([]Packet, error) {
	r, err := pcapgo.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	r.SetSnaplen(maxRecord) // the file's may be 0, 4 GiB or, in some, too small
	return all(r.ReadPacketData, func(gopacket.CaptureInfo) layers.LinkType { return r.LinkType() })
}

func readNg(data []byte) ([]Packet, error) {
	if err := checkNg(data); err != nil {
		return nil, err
	}
	r, err := pcapgo.NewNgReader(bytes.NewReader(data), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		return nil, err
	}
	return all(r.ReadPacketData, func(ci gopacket.CaptureInfo) layers.LinkType {
		if len(ci.AncillaryData) > 0 {
			if link, ok := ci.AncillaryData[0].(layers.LinkType); ok {
				return link
			}
		}
		return r.LinkType()
	})
}

// all reads packets to the end. A reader that panics has met a broken file.
func all(next func() ([]byte, gopacket.CaptureInfo, error), link func(gopacket.CaptureInfo) layers.LinkType) (ps []Packet, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("record %d: cannot be read", len(ps)+1)
		}
	}()
	for {
		data, ci, err := next()
		if err == io.EOF && ci.CaptureLength == 0 { // else it ends between header and bytes
			return ps, nil
		}
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", len(ps)+1, err)
		}
		ps = append(ps, Packet{Time: ci.Timestamp, Link: link(ci), Length: ci.Length, Data: data})
	}
}

const (
	ngMagic     = 0x0a0d0d0a // of a section header block, in either byte order
	ngEnhanced  = 6
	ngSimple    = 3
	ngByteOrder = 0x1a2b3c4d
	maxRecord   = 256 << 10
)

// checkNg checks what the reader trusts: that blocks, and the packets that they say
// they hold, are no longer than the file and than maxRecord.
func checkNg(data []byte) error {
	var order binary.ByteOrder = binary.LittleEndian
	for at := 0; at < len(data); {
		rest := data[at:]
		if len(rest) < 12 {
			return fmt.Errorf("byte %d: file ends inside a block", at)
		}
		if binary.BigEndian.Uint32(rest) == ngMagic && binary.BigEndian.Uint32(rest[8:]) == ngByteOrder {
			order = binary.BigEndian
		} else if binary.BigEndian.Uint32(rest) == ngMagic {
			order = binary.LittleEndian
		}
		length := uint64(order.Uint32(rest[4:]))
		if length < 12 || length%4 != 0 || length > uint64(len(rest)) {
			return fmt.Errorf("byte %d: block says %d bytes; the file has %d more", at, length, len(rest))
		}
		if err := checkNgPacket(order, rest[:length]); err != nil {
			return fmt.Errorf("byte %d: %w", at, err)
		}
		at += int(length)
	}
	return nil
}

func checkNgPacket(order binary.ByteOrder, block []byte) error {
	switch kind := order.Uint32(block); {
	case kind == ngSimple && len(block) > maxRecord, kind == ngEnhanced && len(block) < 32:
		return fmt.Errorf("packet block of %d bytes", len(block))
	case kind == ngEnhanced:
		if n := order.Uint32(block[20:]); n > maxRecord || int(n) > len(block)-32 {
			return fmt.Errorf("packet says %d bytes; its block has %d", n, len(block))
		}
	}
	return nil
}
