package gen

import (
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/codec"
)

// TestAgreesWithCodec checks that the generator accepts the same types as the codec. There is one exception: the generator
// refuses embedded pointers to unexported structs, which the codec can only decode if none of their fields is present.
func TestAgreesWithCodec(t *testing.T) {
	source, err := os.ReadFile("agree_types_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for src, typ := range map[string]reflect.Type{
		"bool": reflect.TypeFor[bool](), "int8": reflect.TypeFor[int8](), "uintptr": reflect.TypeFor[uintptr](),
		"float32": reflect.TypeFor[float32](), "complex64": reflect.TypeFor[complex64](), "string": reflect.TypeFor[string](),
		"[]byte": reflect.TypeFor[[]byte](), "[3]byte": reflect.TypeFor[[3]byte](), "any": reflect.TypeFor[any](),
		"error": reflect.TypeFor[error](), "chan int": reflect.TypeFor[chan int](), "func()": reflect.TypeFor[func()](),
		"[]func()": reflect.TypeFor[[]func()](), "map[string]chan int": reflect.TypeFor[map[string]chan int](),
		"map[int]int": reflect.TypeFor[map[int]int](), "map[tInt]int": reflect.TypeFor[map[tInt]int](),
		"map[bool]int": reflect.TypeFor[map[bool]int](), "map[float64]int": reflect.TypeFor[map[float64]int](),
		"map[any]int": reflect.TypeFor[map[any]int](), "map[tKey]int": reflect.TypeFor[map[tKey]int](),
		"map[[2]int]int": reflect.TypeFor[map[[2]int]int](), "map[*int]int": reflect.TypeFor[map[*int]int](),
		"map[tMixed]int": reflect.TypeFor[map[tMixed]int](),
		"*int":           reflect.TypeFor[*int](), "**int": reflect.TypeFor[**int](), "*chan int": reflect.TypeFor[*chan int](),
		"tInt": reflect.TypeFor[tInt](), "tList": reflect.TypeFor[tList](), "tTree": reflect.TypeFor[tTree](),
		"tHidden": reflect.TypeFor[tHidden](), "tMixed": reflect.TypeFor[tMixed](), "tTagged": reflect.TypeFor[tTagged](),
		"tJSON": reflect.TypeFor[tJSON](), "tOuter": reflect.TypeFor[tOuter](),
		"tBoth": reflect.TypeFor[tBoth](), "tKey": reflect.TypeFor[tKey](), "*tKey": reflect.TypeFor[*tKey](),
		"tOneWay": reflect.TypeFor[tOneWay](), "tOwn": reflect.TypeFor[tOwn](), "[]*tOwn": reflect.TypeFor[[]*tOwn](),
		"struct{}": reflect.TypeFor[struct{}](), "struct{ X chan int }": reflect.TypeFor[struct{ X chan int }](),
	} {
		u, tasks := checkSource(string(source) + "\n//arbiter:task\nfunc F(x " + src + ")\n")
		accepted := !u.failed && len(tasks) == 1
		args := reflect.StructOf([]reflect.StructField{{Name: "X", Type: typ}})
		if err := codec.CheckArgs(args); accepted != (err == nil) {
			t.Errorf("%s: accepted by the generator: %v, by the codec: %v (%v)", src, accepted, err, u.program.diags.list)
		}
		if src == "error" {
			continue // an error as the only result is the error of the task
		}
		u, tasks = checkSource(string(source) + "\n//arbiter:task\nfunc F() " + src + "\n")
		accepted = !u.failed && len(tasks) == 1
		if err := codec.CheckResult(typ); accepted != (err == nil) {
			t.Errorf("%s as a result: accepted by the generator: %v, by the codec: %v (%v)", src, accepted, err, u.program.diags.list)
		}
	}
}

// TestDefaultsAgreeWithCodec checks that the generator and package codec accept the same defaults, and that the codec
// reads a default in the form that the generator writes.
func TestDefaultsAgreeWithCodec(t *testing.T) {
	types := map[string]reflect.Type{
		"string": reflect.TypeFor[string](), "bool": reflect.TypeFor[bool](), "int": reflect.TypeFor[int](), "int8": reflect.TypeFor[int8](),
		"uint16": reflect.TypeFor[uint16](), "float32": reflect.TypeFor[float32](), "float64": reflect.TypeFor[float64](),
		"time.Duration": reflect.TypeFor[time.Duration](), "time.Time": reflect.TypeFor[time.Time](), "any": reflect.TypeFor[any](),
		"tInt": reflect.TypeFor[tInt](), "tKey": reflect.TypeFor[tKey](), "*int": reflect.TypeFor[*int](), "[]byte": reflect.TypeFor[[]byte](),
	}
	texts := []string{
		"", "0", "-0", "00", "1", "-1", "+1", "127", "128", "65536", "1_000", "0x10", "1.5", "1e3", "1e39", "NaN", "Inf",
		"true", "F", "1m30s", "90", "-5ms", "x", "a,b", "optional", `"`, "\t", "`", "\u00e4", " ",
	}
	for src, typ := range types {
		for _, text := range texts {
			word := strconv.Quote("default=x:" + text)
			u, tasks := checkSource("package p\nimport \"time\"\nvar _ time.Time\ntype tInt int\ntype tKey struct{}\n" +
				"func (tKey) MarshalText() ([]byte, error)\nfunc (*tKey) UnmarshalText([]byte) error\n" +
				"//arbiter:task " + word + "\nfunc F(x " + src + ")\n")
			if accepted, want := !u.failed && len(tasks) == 1, tagAccepted(typ, "x,default="+text); accepted != want {
				t.Errorf("default %q of a %s: accepted by the generator: %v, by the codec: %v (%v)", text, src, accepted, want, u.program.diags.list)
			} else if accepted {
				written := tasks[0].tag(0)
				tag, err := strconv.Unquote(written)
				value, ok := reflect.StructTag(tag).Lookup("arbiter")
				if err != nil || !ok || !tagAccepted(typ, value) || decodedDefault(t, typ, value) != decodedDefault(t, typ, "x,default="+text) {
					t.Errorf("default %q of a %s is written as %s", text, src, written)
				}
			}
		}
	}
}

func tagAccepted(typ reflect.Type, tag string) bool {
	return codec.CheckArgs(taggedArgs(typ, tag)) == nil
}

func taggedArgs(typ reflect.Type, tag string) reflect.Type {
	return reflect.StructOf([]reflect.StructField{{Name: "X", Type: typ, Tag: reflect.StructTag("arbiter:" + strconv.Quote(tag))}})
}

// decodedDefault returns the value of the field if the argument is missing.
func decodedDefault(t *testing.T, typ reflect.Type, tag string) any {
	t.Helper()
	args := reflect.New(taggedArgs(typ, tag))
	if err := codec.JSON().DecodeArgs([]byte("{}"), args.Interface()); err != nil {
		t.Fatal(err)
	}
	return args.Elem().Field(0).Interface()
}
