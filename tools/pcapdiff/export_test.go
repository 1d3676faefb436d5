package pcapdiff

import "io"

func ReadFrom(r io.Reader) ([]Packet, error) { return read(r) }
