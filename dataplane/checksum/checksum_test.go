package checksum

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// slow is RFC 1071 as it is written: 16-bit words, end-around carry.
func slow(b []byte, sum uint32) uint16 {
	for i := 0; i < len(b); i += 2 {
		w := uint32(b[i]) << 8
		if i+1 < len(b) {
			w |= uint32(b[i+1])
		}
		if sum += w; sum > 0xffff {
			sum = sum&0xffff + 1
		}
	}
	return uint16(sum)
}

// same says whether two sums are equal: 0 and 0xffff are one number in ones' complement,
// but only for sums of nothing but zeros may it be written as 0.
func same(a, b uint16) bool { return a == b || a%0xffff == 0 && b%0xffff == 0 }

func random(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		switch rnd.IntN(4) {
		case 0: // zeros and ones are the edges
		case 1:
			b[i] = 0xff
		default:
			b[i] = byte(rnd.Uint32())
		}
	}
	return b
}

func TestSumAgreesWithRFC1071(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for n := range 300 {
		for range 20 {
			b, start := random(rnd, n), uint16(rnd.Uint32())
			if got, want := Fold(Sum(b, uint64(start))), slow(b, uint32(start)); !same(got, want) {
				t.Fatalf("%x from %#x: got %#x; want %#x", b, start, got, want)
			}
		}
	}
	// RFC 1071 section 3.
	if got := Fold(Sum([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, 0)); got != 0xddf2 {
		t.Errorf("RFC 1071's example: got %#x; want 0xddf2", got)
	}
}

func TestFold(t *testing.T) {
	for _, s := range []uint64{0, 1, 0xffff, 0x10000, 0xffff_ffff, 0x1_0000_0000, 1<<64 - 1, 1<<64 - 0x10000, 0xffff_0000_ffff_0001} {
		want := s % 0xffff
		if got := Fold(s); !same(got, uint16(want)) || got == 0 && s != 0 {
			t.Errorf("%#x: got %#x; want %#x", s, got, want)
		}
	}
}

// TestUpdateEqualsRecompute: RFC 1624, for words and addresses, with the values between
// which the older formulas fail.
func TestUpdateEqualsRecompute(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 1))
	edge := []uint16{0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff}
	word := func() uint16 {
		if rnd.IntN(2) == 0 {
			return edge[rnd.IntN(len(edge))]
		}
		return uint16(rnd.Uint32())
	}
	for range 200_000 {
		b := random(rnd, 20)
		b[0] |= 0x40 // as of a header, never all zeros
		binary.BigEndian.PutUint16(b[10:], 0)
		c := Of(b)
		p, a := word(), uint32(word())<<16|uint32(word())
		delta := Add(Delta16(binary.BigEndian.Uint16(b[2:]), p), Delta32(binary.BigEndian.Uint32(b[12:]), a))
		binary.BigEndian.PutUint16(b[2:], p)
		binary.BigEndian.PutUint32(b[12:], a)
		if got, want := Apply(c, delta), Of(b); got != want {
			t.Fatalf("%x: got %#x; want %#x", b, got, want)
		}
		// And back: the complement undoes it.
		if got := Apply(Apply(c, delta), ^delta); !same(got, c) {
			t.Fatalf("back: got %#x; want %#x", got, c)
		}
	}
}

// TestWrongStaysWrong by the same amount.
func TestWrongStaysWrong(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 1))
	for range 10_000 {
		c, delta, wrong := uint16(rnd.Uint32()), uint16(rnd.Uint32()), uint16(1+rnd.IntN(0xfffd))
		off := Fold(uint64(Apply(Fold(uint64(c)+uint64(wrong)), delta)) + uint64(^Apply(c, delta)))
		if !same(off, wrong) {
			t.Fatalf("%#x, wrong by %#x, came out wrong by %#x", c, wrong, off)
		}
	}
}

func TestHeaderAgreesWithSum(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 1))
	right := 0
	for range 100_000 {
		b := random(rnd, 20)
		if rnd.IntN(2) == 0 {
			b[10], b[11] = 0, 0
			binary.BigEndian.PutUint16(b[10:], Of(b))
		}
		want := slow(b, 0) == 0xffff
		if want {
			right++
		}
		if got := Header(b); got != want {
			t.Fatalf("%x: got %v; want %v", b, got, want)
		}
	}
	if right < 10_000 {
		t.Errorf("only %d headers were right", right)
	}
}

func TestPseudo(t *testing.T) {
	h := []byte{10, 1, 2, 3, 198, 51, 100, 7, 0, 17, 0xff, 0xfe}
	if got, want := Fold(Pseudo(0x0a010203, 0xc6336407, 17, 0xfffe)), slow(h, 0); got != want {
		t.Errorf("got %#x; want %#x", got, want)
	}
}
