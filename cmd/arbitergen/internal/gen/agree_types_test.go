package gen

// The types of TestAgreesWithCodec, which reads this file.
type (
	tInt    int
	tList   []tList
	tTree   struct{ Next *tTree }
	tHidden struct{ _ int }
	tMixed  struct {
		N int
		_ int
	}
	tTagged struct {
		C chan int `msgpack:"-"`
		N int
	}
	tJSON struct {
		C chan int `json:"-"`
	}
	tInner struct{ A int }
	tOuter struct {
		tInner
		B int
	}
	tBoth struct {
		tInner
		tTree
	}
	tKey    struct{ s string }
	tOneWay struct{ A int }
	tOwn    struct{ _ chan int }
)

func (k tKey) MarshalText() ([]byte, error)     { return []byte(k.s), nil }
func (k *tKey) UnmarshalText(text []byte) error { k.s = string(text); return nil }
func (tOneWay) MarshalText() ([]byte, error)    { return nil, nil }
func (tOwn) MarshalBinary() ([]byte, error)     { return nil, nil }
func (*tOwn) UnmarshalBinary([]byte) error      { return nil }
