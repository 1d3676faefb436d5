package pcapdiff

import "strings"

// Describe tells in a few words what a packet is, the headers from the outermost in:
//
//	ipip 10.0.0.1 > 10.0.1.12, tcp SYN 198.51.100.10:40000 > 172.30.2.10:80
func Describe(p Packet) string {
	v := takeApart(p)
	return v.String()
}

// String is Describe's.
func (v *view) String() string {
	value := make(map[string]string, len(v.fields))
	for _, f := range v.fields {
		value[f.name] = f.value
	}
	var parts []string
	for layer := range strings.SplitSeq(value["layers"], "/") {
		at := strings.LastIndexByte(layer, '.') + 1
		prefix, name := layer[:at], layer[at:]
		switch name {
		case "arp":
			parts = append(parts, "arp "+arpWords(value))
		case "ipv4":
			parts = append(parts, ipWords(value, prefix))
		}
	}
	if parts == nil {
		return octets(len(v.Data)) + " of " + v.Link.String()
	}
	return strings.Join(parts, ", ")
}

func arpWords(value map[string]string) string {
	if value["arp.operation"] == "1" {
		return "who has " + value["arp.targetIP"] + ", asks " + value["arp.senderIP"]
	}
	return value["arp.senderIP"] + " is at " + value["arp.senderMAC"]
}

// ipWords tells of the header with the prefix and of what it carries.
func ipWords(value map[string]string, prefix string) string {
	src, dst := value[prefix+"ipv4.src"], value[prefix+"ipv4.dst"]
	what := "protocol " + value[prefix+"ipv4.protocol"]
	if at := value[prefix+"ipv4.fragment"]; at != "0" {
		return "fragment of " + what + " " + src + " > " + dst
	}
	switch value[prefix+"ipv4.protocol"] {
	case "1":
		what = "icmp " + value[prefix+"icmp.type"] + "/" + value[prefix+"icmp.code"]
		if value[prefix+"quote.ipv4.src"] != "" {
			what += " about the next"
		}
	case "4":
		what = "ipip"
	case "6":
		if value[prefix+"tcp.flags"] == "" {
			break // its header is cut
		}
		what = "tcp " + value[prefix+"tcp.flags"]
		src, dst = src+":"+value[prefix+"tcp.sport"], dst+":"+value[prefix+"tcp.dport"]
	case "17":
		if value[prefix+"udp.sport"] == "" {
			break
		}
		what = "udp"
		src, dst = src+":"+value[prefix+"udp.sport"], dst+":"+value[prefix+"udp.dport"]
	}
	return what + " " + src + " > " + dst
}
