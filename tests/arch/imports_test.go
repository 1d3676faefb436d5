package arch

import (
	"slices"
	"strings"
	"testing"
)

// A rule says what of the module the packages of a folder may import, and why not more.
type rule struct {
	folder string // the package and those below it
	may    []string
	why    string
}

// rules are read from the top: the first whose folder a package is in holds for it.
func rules() []rule {
	return []rule{
		{"config", nil, "what a file says must not depend on what is done with it"},
		{"dataplane/", []string{"dataplane/"}, "a leaf knows other leaves, so that each can be read, tested and replaced alone"},
		{"dataplane", []string{"dataplane/"}, "how packets move must not know a feature: features are asked through interfaces"},
		{"nat", []string{"dataplane"}, "a feature knows how packets move and no other feature: appliance joins them"},
		{"ingress", []string{"dataplane", "ingress"}, "a feature knows how packets move and no other feature: appliance joins them"},
		{"vpn", []string{"dataplane", "vpn"}, "a feature knows how packets move and no other feature: appliance joins them"},
		{"appliance/admin", []string{"appliance/admin", "config"}, "the socket shows views: the gateway fills them in"},
		{"appliance/vra", []string{"appliance", "config", "tools"}, "the command has the demonstration and the comparison of captures, and no business on the path"},
		{"appliance", []string{"appliance/admin", "config", "dataplane", "nat", "ingress", "vpn"}, "the gateway must not depend on programs for people"},
		{"tools", []string{"tools", "appliance", "config", "dataplane", "nat"}, "programs for people"},
		{"tests", []string{"tests", "tools", "appliance", "config", "dataplane", "nat", "ingress", "vpn"}, "tests cross packages"},
	}
}

// within says whether the package is the folder or below it; a folder that ends in a
// slash is what is below it.
func within(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, strings.TrimSuffix(folder, "/")+"/")
}

func TestImports(t *testing.T) {
	for _, p := range loaded(t).pkgs {
		i := slices.IndexFunc(rules(), func(r rule) bool { return within(p.name(), r.folder) })
		if i < 0 {
			t.Errorf("%s: no rule says what it may import: the top-level folders are fixed", p.name())
			continue
		}
		r := rules()[i]
		for _, imported := range p.Imports {
			name, ours := strings.CutPrefix(imported, module+"/")
			if ours && !slices.ContainsFunc(r.may, func(folder string) bool { return within(name, folder) }) {
				t.Errorf("%s imports %s: %s", p.name(), name, r.why)
			}
			if last := imported[strings.LastIndex(imported, "/")+1:]; ours && slices.Contains([]string{"util", "utils", "common", "misc", "helpers"}, last) {
				t.Errorf("%s imports %s: a name says what a package is for", p.name(), name)
			}
		}
		if len(p.CgoFiles) > 0 {
			t.Errorf("%s has cgo: the program is static", p.name())
		}
	}
}

// TestTestsImportNoFeatures keeps the tests of a leaf to leaves, their contract test and
// tools that take frames apart: what crosses packages is tested under tests.
func TestTestsImportNoFeatures(t *testing.T) {
	for _, p := range loaded(t).pkgs {
		if !within(p.name(), "dataplane") && !within(p.name(), "config") && !within(p.name(), "nat") {
			continue
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			name, ours := strings.CutPrefix(imported, module+"/")
			if ours && !within(name, "dataplane") && name != p.name() && !within(name, "tools") {
				t.Errorf("tests of %s import %s: they belong under tests", p.name(), name)
			}
		}
	}
}
