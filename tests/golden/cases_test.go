package golden

// cases are the functions that build what comes in, by the folder of the case.
var cases = map[string]func(*tape){
	"masquerade-tcp":     masqueradeTCP,
	"masquerade-queries": masqueradeQueries,
	"dnat":               dnat,
	"one-to-one":         oneToOne,
	"ipip-cross-subnet":  ipipCrossSubnet,
	"ipip-always":        ipipAlways,
	"ecn":                ecn,
	"decap-spoofing":     decapSpoofing,
	"fragments":          fragments,
	"traceroute":         traceroute,
	"frag-needed":        fragNeeded,
	"vlan":               vlan,
	"gate":               gate,
	"arp":                arp,
	"link-types":         linkTypes,
	"gzip":               gzipped,
	"merge":              merge,
	"expiry":             expiry,
	"no-way":             noWay,
	"host":               host,
	"ecmp":               ecmp,
}
