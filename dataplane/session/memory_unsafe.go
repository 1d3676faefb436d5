package session

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const hugePage = 2 << 20

// reserve returns n zero values of T, which must hold no pointers, that live as long
// as owner. From a huge page on they are mapped by themselves, outside of the garbage
// collector's heap, and in huge pages where the kernel has them: at a million sessions
// in random order most of the time would go to translating addresses otherwise
// (BenchmarkLine: 115 against 140 ns a packet).
func reserve[T, O any](owner *O, n int) []T {
	var zero T
	size := uintptr(n) * unsafe.Sizeof(zero)
	if size < hugePage {
		return make([]T, n)
	}
	b, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return make([]T, n)
	}
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // a wish
	runtime.AddCleanup(owner, func(b []byte) { _ = unix.Munmap(b) }, b)
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), n)
}
