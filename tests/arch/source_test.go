package arch

import (
	"bytes"
	"go/ast"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range loaded(t).pkgs {
		n := 0
		for _, f := range p.files {
			if f.Doc == nil {
				continue
			}
			n++
			if text := f.Doc.Text(); p.Name != "main" && !strings.HasPrefix(text, "Package "+p.Name+" ") {
				t.Errorf("%s: the comment begins %.40q; want \"Package %s ...\"", p.name(), text, p.Name)
			}
		}
		if n == 0 && len(p.files) > 0 {
			t.Errorf("%s has no package comment", p.name())
		}
		if n > 1 {
			t.Errorf("%s has %d package comments", p.name(), n)
		}
	}
}

// maxLines is more than a file should have: 400 is what to aim for.
const maxLines = 500

func TestFilesAreShort(t *testing.T) {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		b, err := os.ReadFile(path)
		if n := bytes.Count(b, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines; want at most %d", path, n, maxLines)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestNothingHappensBeforeMain(t *testing.T) {
	tr := loaded(t)
	for _, p := range tr.pkgs {
		for _, f := range p.files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: an init function: what registers itself cannot be read where it is used", tr.at(fn.Pos()))
				}
			}
		}
	}
}

// mutable are the package variables that may change, and why they may.
var mutable = map[string]string{
	"appliance.decisions": "a pool has no state that anyone can see",
}

// TestNoPackageStateChanges finds package variables that are assigned to, in whole or in
// part, or whose address is taken, or that know how to change by themselves.
func TestNoPackageStateChanges(t *testing.T) {
	tr := loaded(t)
	found := map[string]bool{}
	for _, p := range tr.pkgs {
		report := func(x ast.Expr, what string) {
			v := packageVar(p, x)
			if v == nil {
				return
			}
			name := strings.TrimPrefix(v.Pkg().Path(), module+"/") + "." + v.Name()
			if found[name] = true; mutable[name] == "" {
				t.Errorf("%s: %s %s: state belongs to a value that somebody owns", tr.at(x.Pos()), name, what)
			}
		}
		for _, f := range p.files {
			ast.Inspect(f, func(n ast.Node) bool {
				changes(p.info, n, report)
				return true
			})
		}
		for id, o := range p.info.Defs {
			if v, ok := o.(*types.Var); ok && v.Parent() == p.types.Scope() && changesItself(v.Type()) {
				report(id, "changes by its methods")
			}
		}
	}
	for name := range mutable {
		if !found[name] {
			t.Errorf("%s is listed as mutable and is not", name)
		}
	}
}

// changes reports the variables that n changes.
func changes(info *types.Info, n ast.Node, report func(ast.Expr, string)) {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			for _, x := range n.Lhs {
				report(x, "is assigned to")
			}
		}
	case *ast.IncDecStmt:
		report(n.X, "is assigned to")
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			report(n.Key, "is assigned to")
		}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			report(n.X, "has its address taken")
		}
	case *ast.SelectorExpr:
		s := info.Selections[n]
		if s == nil || s.Kind() != types.MethodVal {
			return
		}
		_, wants := s.Obj().Type().(*types.Signature).Recv().Type().(*types.Pointer)
		if _, has := s.Recv().(*types.Pointer); wants && !has {
			report(n.X, "has a method called that may change it")
		}
	case *ast.CallExpr:
		if id, ok := n.Fun.(*ast.Ident); ok && slices.Contains([]string{"delete", "clear", "copy"}, id.Name) && info.Uses[id] == types.Universe.Lookup(id.Name) {
			report(n.Args[0], "is changed by "+id.Name)
		}
	}
}

// packageVar returns the variable of a package that x is, or is a part of.
func packageVar(p *pkg, x ast.Expr) *types.Var {
	for {
		switch e := x.(type) {
		case *ast.ParenExpr:
			x = e.X
		case *ast.IndexExpr:
			x = e.X
		case *ast.SelectorExpr:
			if v, ok := p.info.Uses[e.Sel].(*types.Var); ok && !v.IsField() {
				x = e.Sel // of another package
				continue
			}
			x = e.X
		case *ast.Ident:
			o := p.info.Uses[e]
			if o == nil {
				o = p.info.Defs[e]
			}
			if v, ok := o.(*types.Var); ok && v.Pkg() != nil && v.Parent() == v.Pkg().Scope() && strings.HasPrefix(v.Pkg().Path(), module) {
				return v
			}
			return nil
		default:
			return nil
		}
	}
}

// changesItself says of a type of package sync or atomic that it is for change.
func changesItself(t types.Type) bool {
	n, ok := t.(*types.Named)
	return ok && n.Obj().Pkg() != nil && (n.Obj().Pkg().Path() == "sync" || n.Obj().Pkg().Path() == "sync/atomic")
}
