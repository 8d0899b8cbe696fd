package gen

import (
	"os"
	"path/filepath"
	"slices"
)

// leftover returns the generated file of the unit's client package, to be removed, if the unit has no more tasks for it.
func (f *folder) leftover(u *unit) []output {
	if u.client == nil || len(f.pkg.IgnoredGoFiles) > 0 {
		return nil
	}
	for range u.client.functions() {
		return nil
	}
	file := filepath.Join(u.client.dir, genClientFile)
	if src, err := os.ReadFile(file); err != nil || ownerOf(file, src) != u.path {
		return nil
	}
	return []output{{path: file}}
}

// orphans returns the generated files of client packages in this run that no package needs any more, to be removed. A file
// stays if the package with the functions is not completely part of this run.
func (p *program) orphans() []output {
	var outputs []output
	for _, f := range p.folders {
		if !f.present[genClientFile] || p.clients[f.pkg.ImportPath] != nil {
			continue
		}
		file := filepath.Join(f.pkg.Dir, genClientFile)
		src, err := os.ReadFile(file)
		if err != nil {
			continue // removed since it was listed
		}
		if p.isOrphan(f, ownerOf(file, src)) {
			outputs = append(outputs, output{path: file})
		}
	}
	return outputs
}

func (p *program) isOrphan(f *folder, owner string) bool {
	for _, other := range p.folders {
		if other.pkg.ImportPath == owner {
			return len(other.pkg.IgnoredGoFiles) == 0 && !slices.ContainsFunc(other.units(), func(u *unit) bool { return u.failed })
		}
	}
	u := p.newUnit(f.pkg, nil)
	return !p.exists(owner, u)
}
