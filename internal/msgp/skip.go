package msgp

// MaxDepth is how many arrays and maps may be inside each other. It bounds the
// stack that a message can make its receiver use.
const MaxDepth = 1000

// Skip returns what follows the first value of in, which is inside of depth
// arrays and maps, and of which it checks all but the contents of extensions.
func Skip(in []byte, depth int) (rest []byte, err error) {
	if len(in) == 0 {
		return nil, ErrTruncated
	}
	n, nested := 0, false
	switch FamilyOf(in[0]) {
	case FamNil, FamBool:
		return in[1:], nil
	case FamNumber:
		return skipNumber(in)
	case FamString:
		_, rest, err = TakeString(in)
	case FamBytes:
		_, rest, err = TakeBytes(in)
	case FamExt:
		_, _, rest, err = TakeExt(in)
	case FamArray:
		n, rest, err = TakeArrayHead(in)
		nested = true
	case FamMap:
		n, rest, err = TakeMapHead(in)
		n *= 2
		nested = true
	default:
		return nil, ErrNever
	}
	if err == nil && nested && depth >= MaxDepth {
		return nil, ErrTooDeep
	}
	for ; err == nil && n > 0; n-- {
		rest, err = Skip(rest, depth+1)
	}
	return rest, err
}

func skipNumber(in []byte) (rest []byte, err error) {
	var size int
	switch in[0] {
	case Float32:
		size = 4
	case Float64:
		size = 8
	default:
		_, rest, err = TakeInt(in)
		return rest, err
	}
	if len(in) < 1+size {
		return nil, ErrTruncated
	}
	return in[1+size:], nil
}
