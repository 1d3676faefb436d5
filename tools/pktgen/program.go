package pktgen

import (
	"encoding/binary"

	"github.com/cilium/ebpf/asm"
)

// program waits for the next frame to be due, by dropping what it is given; then it
// writes the frame, with source address and port of a random flow and the IP checksum
// for them, and redirects it. It writes all of it each time: the page was a packet
// before, and whoever got that has changed it.
func program(ifindex, flows, pace int, frame []byte) asm.Instructions {
	p := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}
	p = append(p, await(pace)...)
	p = append(p,
		asm.FnGetPrandomU32.Call(),
		asm.Mod.Imm32(asm.R0, int32(flows)),
		asm.Mov.Reg(asm.R7, asm.R0),
		asm.LoadMem(asm.R1, asm.R6, 0, asm.Word), // xdp_md.data
		asm.LoadMem(asm.R2, asm.R6, 4, asm.Word), // xdp_md.data_end
		asm.Mov.Reg(asm.R3, asm.R1),
		asm.Add.Imm(asm.R3, FrameLen),
		asm.JGT.Reg(asm.R3, asm.R2, "drop"))
	for i := 0; i < FrameLen; i += 4 {
		p = append(p, asm.StoreImm(asm.R1, int16(i), int64(int32(binary.NativeEndian.Uint32(frame[i:]))), asm.Word))
	}
	return append(p,
		asm.Mov.Reg(asm.R4, asm.R7), // low half of the source address
		asm.RSh.Imm(asm.R4, 4),
		asm.StoreMem(asm.R1, ipAt+14, asm.R4, asm.Half),
		asm.Add.Imm(asm.R4, sum(frame[ipAt:udpAt])), // checksum
		asm.Mov.Reg(asm.R3, asm.R4),
		asm.RSh.Imm(asm.R3, 16),
		asm.And.Imm(asm.R4, 0xffff),
		asm.Add.Reg(asm.R4, asm.R3),
		asm.Xor.Imm(asm.R4, 0xffff),
		asm.StoreMem(asm.R1, ipAt+10, asm.R4, asm.Half),
		asm.And.Imm(asm.R7, 15), // source port
		asm.Mul.Imm(asm.R7, 3000),
		asm.Add.Imm(asm.R7, 1024),
		asm.StoreMem(asm.R1, udpAt, asm.R7, asm.Half),

		asm.Mov.Imm(asm.R1, int32(ifindex)),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return(),

		asm.Mov.Imm(asm.R0, 1).WithSymbol("drop"), // XDP_DROP
		asm.Return(),
	)
}

// await goes to drop unless a frame is due, and says when the one after it is.
func await(pace int) asm.Instructions {
	const next, interval, sent = 0, 8, 16 // pacing
	const late = 100_000                  // ns: what is later is not made up for in a burst
	return asm.Instructions{
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, pace),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "drop"),
		asm.Mov.Reg(asm.R7, asm.R0),
		asm.FnKtimeGetNs.Call(),
		asm.LoadMem(asm.R8, asm.R7, next, asm.DWord),
		asm.JGT.Reg(asm.R8, asm.R0, "drop"),
		asm.Sub.Imm(asm.R0, late),
		asm.JGT.Reg(asm.R8, asm.R0, "due"),
		asm.Mov.Reg(asm.R8, asm.R0),
		asm.LoadMem(asm.R9, asm.R7, interval, asm.DWord).WithSymbol("due"),
		asm.Add.Reg(asm.R8, asm.R9),
		asm.StoreMem(asm.R7, next, asm.R8, asm.DWord),
		asm.LoadMem(asm.R9, asm.R7, sent, asm.DWord),
		asm.Add.Imm(asm.R9, 1),
		asm.StoreMem(asm.R7, sent, asm.R9, asm.DWord),
	}
}
