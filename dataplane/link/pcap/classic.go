package pcap

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/google/gopacket/pcapgo"
)

// classic reads the old format, by pcapgo.
type classic struct {
	r    *pcapgo.Reader
	link LinkType
}

func newClassic(b *bufio.Reader) (format, error) {
	head, err := b.Peek(24)
	if err != nil {
		return nil, err
	}
	// pcapgo keeps 8 bits of the link type.
	number := binary.BigEndian.Uint32(head[20:])
	if head[0] != 0xa1 {
		number = binary.LittleEndian.Uint32(head[20:])
	}
	r, err := pcapgo.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("want pcap or pcapng: %w", err)
	}
	link := LinkType(number) // the upper half says how long the checksums are
	if !link.known() {
		return nil, fmt.Errorf("link type %d: want Ethernet, Linux cooked or raw IP", link)
	}
	r.SetSnaplen(MaxCapture) // which the file's own need not be
	return &classic{r: r, link: link}, nil
}

func (c *classic) next(r *Record) error {
	data, ci, err := c.r.ZeroCopyReadPacketData()
	if err == io.EOF && ci.CaptureLength > 0 {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	r.Data, r.Len, r.Link, r.Interface = data, ci.Length, c.link, 0
	r.Time = ci.Timestamp.UnixNano()
	return nil
}
