package msgp

// MaxDepth is how deep arrays and maps may be nested. It bounds the stack that decoding a message uses.
const MaxDepth = 1000

// Skip returns the bytes after the first value of in. Depth is the number of arrays and maps around the value. Skip checks
// the whole value, except the contents of extensions.
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
