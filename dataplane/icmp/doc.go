// Package icmp answers with ICMP and reads, relays and translates what others
// report: errors built for a packet (Error), echo replies (EchoReply), the quote
// inside an error (ParseQuote, RewriteQuote), and the limit on what we send
// (Limiter).
//
// Everything here belongs to one worker: nothing locks, and time is an argument.
// A built packet has no link header; the path routes it as any packet of ours.
//
// RFC 792, RFC 1122 section 3.2.2, RFC 1812 section 4.3, RFC 4884, RFC 5508.
package icmp
