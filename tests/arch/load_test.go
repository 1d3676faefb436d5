// Package arch holds the tree to its rules: who may import whom, what every package
// has, what none has, and that tables for people say what the code says.
package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// root is the module's folder, seen from here.
const root = "../.."

const module = "openvra"

// A pkg is a package of the module, without its tests unless said.
type pkg struct {
	ImportPath, Dir, Export, Name      string
	GoFiles                            []string
	TestGoFiles, XTestGoFiles          []string
	Imports, TestImports, XTestImports []string
	CgoFiles                           []string

	files []*ast.File
	info  *types.Info
	types *types.Package
}

// name is the path within the module, "." for its root.
func (p *pkg) name() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

// A tree is the module, parsed and checked.
type tree struct {
	fset *token.FileSet
	pkgs []*pkg
}

// load reads the module once for all tests.
var load = sync.OnceValues(readTree)

func loaded(t *testing.T) *tree {
	t.Helper()
	tr, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// readTree lets the go command compile, and checks the module's packages from source
// against what it has made of their imports.
func readTree() (*tree, error) {
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,Name,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("list packages: %w: %s", err, said.String())
	}
	tr := &tree{fset: token.NewFileSet()}
	exports := map[string]string{}
	for d := json.NewDecoder(&out); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		exports[p.ImportPath] = p.Export
		if p.ImportPath == module || strings.HasPrefix(p.ImportPath, module+"/") {
			tr.pkgs = append(tr.pkgs, &p)
		}
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	conf := types.Config{Importer: importer.ForCompiler(tr.fset, "gc", open)}
	for _, p := range tr.pkgs {
		if err := tr.check(p, &conf); err != nil {
			return nil, err
		}
	}
	return tr, nil
}

func (tr *tree) check(p *pkg, conf *types.Config) (err error) {
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(tr.fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		p.files = append(p.files, f)
	}
	p.info = &types.Info{
		Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{},
		Selections: map[*ast.SelectorExpr]*types.Selection{}, Types: map[ast.Expr]types.TypeAndValue{},
	}
	p.types, err = conf.Check(p.ImportPath, tr.fset, p.files, p.info)
	return err
}

// at is where something stands, for a person.
func (tr *tree) at(pos token.Pos) string {
	p := tr.fset.Position(pos)
	if rel, err := filepath.Rel(absRoot(), p.Filename); err == nil {
		p.Filename = rel
	}
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

func absRoot() string {
	abs, err := filepath.Abs(root)
	if err != nil {
		return root
	}
	return abs
}
