package arch

import (
	"go/types"
	"reflect"
	"slices"
	"strings"
	"testing"

	"openvra/config"
)

// checkOnly are the keys that config alone looks at, and what for.
var checkOnly = map[string]string{
	"Timeouts.AllowShort": "lets timers below the floor of the RFCs through the check",
	"Admin.MetricsPublic": "lets an address that is not loopback through the check",
}

// TestEveryKeyIsRead wants that each key of the configuration is read somewhere outside
// package config: a key without an effect is worse than none.
func TestEveryKeyIsRead(t *testing.T) {
	read := map[string]bool{}
	for _, p := range loaded(t).pkgs {
		if !within(p.name(), "appliance") {
			continue
		}
		for _, s := range p.info.Selections {
			if s.Kind() == types.FieldVal {
				read[ownerOf(s)+"."+s.Obj().Name()] = true
			}
		}
	}
	keys := map[string]string{}
	fieldsOf(reflect.TypeFor[config.Config](), "", keys)
	if len(keys) < 100 {
		t.Errorf("only %d keys were found: the walk over the types has lost its way", len(keys))
	}
	for field, key := range keys {
		if _, ok := checkOnly[field]; read[field] == ok {
			t.Errorf("key %s (field %s): read outside config: %v; listed as for the check alone: %v", key, field, read[field], ok)
		}
	}
	for field := range checkOnly {
		if keys[field] == "" {
			t.Errorf("%s is listed and is no key", field)
		}
	}
}

// ownerOf returns the name of the config type that has the selected field.
func ownerOf(s *types.Selection) string {
	t := s.Recv()
	for i, at := range s.Index() {
		if p, ok := t.Underlying().(*types.Pointer); ok {
			t = p.Elem()
		}
		if p, ok := t.(*types.Pointer); ok {
			t = p.Elem()
		}
		if i == len(s.Index())-1 {
			break
		}
		st, ok := t.Underlying().(*types.Struct)
		if !ok {
			return ""
		}
		t = st.Field(at).Type()
	}
	if n, ok := t.(*types.Named); ok && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == module+"/config" {
		return n.Obj().Name()
	}
	return ""
}

// fieldsOf collects the fields with a key, as Type.Field, and the keys, as a.b.c.
func fieldsOf(t reflect.Type, prefix string, keys map[string]string) {
	for slices.Contains([]reflect.Kind{reflect.Slice, reflect.Pointer}, t.Kind()) {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || !strings.HasSuffix(t.PkgPath(), "/config") {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if key := f.Tag.Get("yaml"); key != "" && key != "-" {
			keys[t.Name()+"."+f.Name] = prefix + key
			fieldsOf(f.Type, prefix+key+".", keys)
		}
	}
}
