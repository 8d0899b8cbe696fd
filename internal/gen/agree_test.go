package gen

import (
	"os"
	"reflect"
	"testing"

	"github.com/go-arbiter/arbiter/codec"
)

// TestAgreesWithCodec holds what the generator accepts to what the codec does.
// They differ in embedded pointers to unexported structs, whose fields can only
// be decoded as long as there are none: the generator refuses them.
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
	}
}
