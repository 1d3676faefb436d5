package pktgen

import (
	"math"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// progRun is the part of union bpf_attr for BPF_PROG_RUN.
type progRun struct {
	progFD, retval                        uint32
	dataSizeIn, dataSizeOut               uint32
	dataIn, dataOut                       uint64
	repeat, duration, ctxSizeIn, ctxSizeO uint32
	ctxIn, ctxOut                         uint64
	flags, cpu, batchSize, _              uint32
}

// runLive runs the program on live frames until a signal comes, which is EINTR. The
// ebpf package would go on after it.
func runLive(prog int, frame []byte) error {
	attr := progRun{
		progFD: uint32(prog), dataIn: uint64(uintptr(unsafe.Pointer(&frame[0]))), dataSizeIn: uint32(len(frame)),
		repeat: math.MaxInt32, flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES,
	}
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_RUN, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(frame)
	if errno != 0 {
		return errno
	}
	return nil
}
