package gen

import (
	"fmt"
	"strings"
)

// differ compares shapes: it finds out whether values of the old shape can be decoded as the new shape.
type differ struct {
	old, new map[string]*definition
	growing  bool // fields that are missing in the new shape are no error
	seen     map[[2]string]bool
}

// value returns the difference that keeps values of the old shape from being decoded as the new one, or "" if there is none.
// Path names the compared value in the message.
func (d *differ) value(old, new, path string) string {
	old, new = unfold(d.old, old), unfold(d.new, new)
	if pair := [2]string{old, new}; !d.seen[pair] {
		if d.seen == nil {
			d.seen = make(map[[2]string]bool)
		}
		d.seen[pair] = true // recursive types are compared only once
	} else {
		return ""
	}
	if new == "any" {
		return ""
	}
	changed := fmt.Sprintf("%s changed from %s to %s", path, old, new)
	oldPrefix, oldRest := outerShape(old)
	newPrefix, newRest := outerShape(new)
	switch {
	case newPrefix == "*" && oldPrefix != "*":
		return d.value(old, newRest, path) // the new value may be nil, but old ones never are
	case oldPrefix == "*" && newPrefix != "*":
		return changed + ", which cannot be nil"
	case oldPrefix == newPrefix && oldPrefix != "":
		return d.value(oldRest, newRest, path+inside(oldPrefix))
	case strings.HasPrefix(oldPrefix, "[") && newPrefix == "[]":
		return d.value(oldRest, newRest, path+inside(oldPrefix))
	case oldPrefix != newPrefix:
		if oldRest == "uint8" && oldPrefix[0] == '[' && new == "bytes" {
			return ""
		}
		return changed
	}
	return d.leaf(old, new, path, changed)
}

func (d *differ) leaf(old, new, path, changed string) string {
	oldDef, newDef := d.old[old], d.new[new]
	switch {
	case oldDef == nil && newDef == nil:
		if old == new || widens(old, new) {
			return ""
		}
		if widens(new, old) {
			return fmt.Sprintf("%s narrowed from %s to %s", path, old, new)
		}
		return changed
	case oldDef == nil || newDef == nil:
		return changed
	case oldDef.Encoding != "" || newDef.Encoding != "":
		if oldDef.Encoding == newDef.Encoding && old == new {
			return ""
		}
		return changed
	}
	fields := make(map[string]string)
	for _, f := range newDef.Fields {
		fields[f.Name] = f.Type
	}
	for _, f := range oldDef.Fields {
		typ, ok := fields[f.Name]
		switch {
		case ok:
			if msg := d.value(f.Type, typ, path+"."+f.Name); msg != "" {
				return msg
			}
		case !d.growing:
			return fmt.Sprintf("%s.%s was removed or renamed; its value would be lost", path, f.Name)
		}
	}
	return ""
}

// unfold replaces the name of a recursive type that is not a struct by its shape.
func unfold(defs map[string]*definition, shape string) string {
	if def := defs[shape]; def != nil && def.Type != "" {
		return def.Type
	}
	return shape
}

// outerShape cuts off the outermost part of a shape, such as "[]" or "map[string]". The prefix is empty for a leaf.
func outerShape(shape string) (prefix, rest string) {
	n := 0
	switch {
	case strings.HasPrefix(shape, "*"):
		n = 1
	case strings.HasPrefix(shape, "["), strings.HasPrefix(shape, "map["):
		n = closing(shape) + 1
	}
	return shape[:n], shape[n:]
}

// inside returns the segment of a path for an element of a value with that outer shape.
func inside(prefix string) string {
	switch {
	case prefix == "*":
		return ""
	case strings.HasPrefix(prefix, "map["):
		return "[key]"
	}
	return "[0]"
}

// bits has the widths of the integer types.
var bits = map[string]int{
	"int": 64, "int8": 8, "int16": 16, "int32": 32, "int64": 64,
	"uint": 64, "uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64, "uintptr": 64,
}

// widens reports whether type new has every number of type old.
func widens(old, new string) bool {
	if old == "float32" && new == "float64" {
		return true
	}
	o, n := bits[old], bits[new]
	if o == 0 || n == 0 {
		return false
	}
	oldUnsigned, newUnsigned := old[0] == 'u', new[0] == 'u'
	switch {
	case oldUnsigned == newUnsigned:
		return o <= n
	case oldUnsigned:
		return o < n
	}
	return false
}
