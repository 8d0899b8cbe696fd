package gen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
)

// manifestVersion changes when older versions of the generator can no longer read a manifest.
const manifestVersion = 1

// manifest is the content of the file that -schema writes: all tasks, with the encoded form of their arguments and results.
// The comment in shape.go has the grammar of shapes.
type manifest struct {
	Version int                      `json:"version"`
	Tasks   map[string]*manifestTask `json:"tasks"`           // by name
	Types   map[string]*definition   `json:"types,omitempty"` // the definitions that shapes refer to
}

type manifestTask struct {
	Func   string        `json:"func"`            // with the import path of its package
	Queue  string        `json:"queue,omitempty"` // empty for the default
	Params []schemaParam `json:"params"`
	Result string        `json:"result,omitempty"` // a shape; empty if there is no result
	Hash   string        `json:"hash"`             // the hash in generated code

	task *task // nil if the manifest was read from a file
}

// newManifest describes the tasks, except those in test files.
func newManifest(tasks []*task) *manifest {
	m := &manifest{
		Version: manifestVersion,
		Tasks:   make(map[string]*manifestTask),
		Types:   make(map[string]*definition),
	}
	for _, t := range tasks {
		if t.file.test {
			continue
		}
		m.Tasks[t.taskID] = &manifestTask{
			Func:   t.unit.path + "." + t.spoken(),
			Queue:  t.opts.queue,
			Params: append([]schemaParam{}, t.schema.params...), // never null
			Result: t.schema.result,
			Hash:   fmt.Sprintf("%#016x", t.schema.hash()),
			task:   t,
		}
		maps.Copy(m.Types, t.schema.defs)
	}
	return m
}

// encode returns the content of the file.
func (m *manifest) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(m)
	return b.Bytes(), err
}

// readManifest reads a file that -schema wrote.
func readManifest(path string) (*manifest, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := new(manifest)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("not a manifest of tasks: %w", err)
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("version %d of the manifest, want %d: it was written by another version of arbitergen",
			m.Version, manifestVersion)
	}
	return m, nil
}
