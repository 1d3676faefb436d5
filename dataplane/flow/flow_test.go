package flow

import (
	"math/bits"
	"math/rand/v2"
	"testing"
	"unsafe"
)

func TestKeyHasNoPadding(t *testing.T) {
	if got := unsafe.Sizeof(Key{}); got != 16 {
		t.Errorf("Key: got %d bytes; want 16", got)
	}
	if got := unsafe.Sizeof(Key6{}); got != 40 {
		t.Errorf("Key6: got %d bytes; want 40", got)
	}
}

// fields is the slow twin of Key.
type fields struct {
	src, dst     uint32
	sport, dport uint16
	proto        uint8
	realm        uint16
}

func (f fields) key() Key { return Make(f.src, f.dst, f.sport, f.dport, f.proto, f.realm) }

func of(k Key) fields {
	return fields{k.Src(), k.Dst(), k.SrcPort(), k.DstPort(), k.Proto(), k.Realm()}
}

func some(rnd *rand.Rand) fields {
	return fields{rnd.Uint32(), rnd.Uint32(), uint16(rnd.Uint32()), uint16(rnd.Uint32()), uint8(rnd.Uint32()), uint16(rnd.Uint32())}
}

func TestKeyKeepsItsFields(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		f := some(rnd)
		k := f.key()
		if got := of(k); got != f {
			t.Fatalf("got %+v; want %+v", got, f)
		}
		realm := uint16(rnd.Uint32())
		want := fields{f.dst, f.src, f.dport, f.sport, f.proto, realm}
		if got := of(k.Reverse(realm)); got != want {
			t.Fatalf("Reverse of %+v: got %+v; want %+v", f, got, want)
		}
		if k.Reverse(realm).Reverse(f.realm) != k {
			t.Fatalf("%+v reversed twice is another", f)
		}
		wire := Wire(uint64(f.src)<<32|uint64(f.dst), uint32(f.sport)<<16|uint32(f.dport), f.proto, f.realm)
		if wire != k {
			t.Fatalf("Wire: got %+v; want %+v", of(wire), f)
		}
	}
	if !(Key{}).IsZero() || Make(0, 0, 0, 0, 0, 1).IsZero() {
		t.Error("IsZero is wrong")
	}
}

// TestSteerIsSymmetric, so that both directions of a flow come to one worker, and
// different enough between flows.
func TestSteerIsSymmetric(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 10_000 {
		f := some(rnd)
		for _, f.proto = range []uint8{TCP, UDP, ICMP, GRE} {
			k := f.key()
			if k.Steer() != k.Reverse(9).Steer() {
				t.Fatalf("%+v: %d there, %d back", f, k.Steer(), k.Reverse(9).Steer())
			}
			g := f
			g.sport++
			if same := k.Steer() == g.key().Steer(); same == (f.proto == TCP || f.proto == UDP) {
				t.Fatalf("%+v: the port counts: %v", f, !same)
			}
		}
	}
	var count [4]int
	for i := range 4000 {
		count[Steer(0x0a000000+uint32(i/64), 0xc6336407, uint16(1024+i), 443)%4]++
	}
	for w, n := range count {
		if n < 700 || n > 1300 {
			t.Errorf("worker %d of 4 gets %d of 4000 flows", w, n)
		}
	}
}

// TestHashMixes: keys that differ in one bit differ in about half of the hash's, in its
// upper and in its lower half.
func TestHashMixes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	h := NewHasher([3]uint64{rnd.Uint64(), rnd.Uint64(), rnd.Uint64()})
	n, low, high := 0, 0, 0
	for range 500 {
		k := some(rnd).key()
		for bit := range 128 {
			o := k
			if bit < 64 {
				o.addrs ^= 1 << bit
			} else {
				o.rest ^= 1 << (bit - 64)
			}
			d := h.Hash(k) ^ h.Hash(o)
			low += bits.OnesCount32(uint32(d))
			high += bits.OnesCount32(uint32(d >> 32))
			n++
		}
	}
	for name, sum := range map[string]int{"low": low, "high": high} {
		if mean := float64(sum) / float64(n); mean < 15 || mean > 17 {
			t.Errorf("%s half: %.2f of 32 bits change; want about 16", name, mean)
		}
	}
	if h.Hash(Make(1, 2, 3, 4, 5, 6)) == NewHasher([3]uint64{7, 8, 9}).Hash(Make(1, 2, 3, 4, 5, 6)) {
		t.Error("the secret makes no difference")
	}
}

// TestHash6Differs for keys that differ in one field.
func TestHash6Differs(t *testing.T) {
	h := NewHasher([3]uint64{11, 22, 33})
	base := Key6{Src: [2]uint64{1, 2}, Dst: [2]uint64{3, 4}, SrcPort: 5, DstPort: 6, Realm: 7, Proto: 8}
	seen := map[uint64]int{h.Hash6(base): -1}
	for i, change := range []func(*Key6){
		func(k *Key6) { k.Src[0]++ }, func(k *Key6) { k.Src[1]++ }, func(k *Key6) { k.Dst[0]++ }, func(k *Key6) { k.Dst[1]++ },
		func(k *Key6) { k.SrcPort++ }, func(k *Key6) { k.DstPort++ }, func(k *Key6) { k.Realm++ }, func(k *Key6) { k.Proto++ },
		func(k *Key6) { k.Src, k.Dst = k.Dst, k.Src }, func(k *Key6) { k.SrcPort, k.DstPort = k.DstPort, k.SrcPort },
	} {
		k := base
		change(&k)
		if other, ok := seen[h.Hash6(k)]; ok {
			t.Errorf("change %d hashes as change %d", i, other)
		}
		seen[h.Hash6(k)] = i
	}
}
