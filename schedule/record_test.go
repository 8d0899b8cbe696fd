package schedule

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// docs/wire.md has every field of a stored schedule.
func TestFieldsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Schedules\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if !found {
		t.Fatal("docs/wire.md has no section about schedules")
	}
	for _, of := range []any{record{}, pause{}, fill{}, run{}, definition{}} {
		fields := reflect.TypeOf(of)
		for field := range fields.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name == "" || !strings.Contains(section, "`"+name+"`") {
				t.Errorf("docs/wire.md does not describe the field %s of %s", field.Name, fields.Name())
			}
		}
	}
}
