package tunnel

// ECN codepoints, the low two bits of the TOS byte (RFC 3168 section 5).
const (
	notECT = 0
	ect1   = 1
	ect0   = 2
	ce     = 3

	ecnMask = 3
	lost    = 0xff // no codepoint: the packet must be dropped
)

// decapECN is figure 4 of RFC 6040, [inner][outer]. The outer mark is what routers
// on the way had to say. A router that marks an inner packet that cannot carry the
// mark (not ECT) has no other way to say so than the drop.
var decapECN = [4][4]uint8{
	notECT: {notECT: notECT, ect1: notECT, ect0: notECT, ce: lost},
	ect1:   {notECT: ect1, ect1: ect1, ect0: ect1, ce: ce},
	ect0:   {notECT: ect0, ect1: ect1, ect0: ect0, ce: ce},
	ce:     {notECT: ce, ect1: ce, ect0: ce, ce: ce},
}

// outerTOS returns the TOS byte of an outer header. The ECN bits are those of the
// inner one (RFC 6040 section 4.1, normal mode).
func outerTOS(inner uint8, o *Options) uint8 {
	if o.CopyDSCP {
		return inner
	}
	return o.DSCP<<2 | inner&ecnMask
}

// innerTOS returns the TOS byte of an inner packet after decap: its own DSCP (RFC
// 2983 section 3.1, pipe model), and both headers' ECN. It reports false if the
// packet must be dropped.
func innerTOS(inner, outer uint8) (uint8, bool) {
	ecn := decapECN[inner&ecnMask][outer&ecnMask]
	return inner&^ecnMask | ecn, ecn != lost
}
