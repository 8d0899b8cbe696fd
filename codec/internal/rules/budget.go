package rules

// This file limits the memory that decoding a message can use. Without a limit, a message of 1 MiB could make its receiver
// allocate gigabytes, since an element of a slice can be one byte in the input and a large struct in memory. So the memory
// for a value is computed ("weighed") before the value is decoded, and compared with the length of the message.
//
// To save time, a short message is weighed only if its type is heavy: if a value of it may need more than PerByte for each
// byte of the input. Nearly all types need less. A long message is mostly a short one that was compressed, so it is weighed
// for every type.
const (
	// PerByte is how many bytes of memory a short message may need for each of its bytes.
	PerByte = 256
	// perByteOfLong is PerByte for a long message. A long message may need at least as much as the longest short one.
	perByteOfLong = 16
	// long is the length above which a message is long. It is the default of the largest payload that brokers accept.
	long = 1 << 20
	// free is how many bytes of memory a value may need besides, so that no small message is refused.
	free = 1 << 20
)

// Budget counts the memory that one message needs.
type Budget struct {
	Size int   // the length of the message
	Need int64 // the memory that its values need, as far as they were weighed; more than an int of 32 bits may hold
}

// IsLong reports whether the message is long, so that values of every type are weighed.
func (b *Budget) IsLong() bool { return b.Size > long }

// Limit returns how many bytes of memory the message may need.
func (b *Budget) Limit() int64 {
	size := int64(b.Size)
	if b.IsLong() {
		return free + max(long*PerByte, size*perByteOfLong)
	}
	return free + size*PerByte
}

// Check returns an error if the message needs more memory than its limit.
func (b *Budget) Check() error {
	if b.Need <= b.Limit() {
		return nil
	}
	return Because(ErrExpansion, "%d bytes would need more than %d bytes of memory; "+
		"make large elements that may be empty pointers, and send null for empty ones", b.Size, b.Limit())
}

// The memory that a value in an any needs. The contents of strings are not counted, since they are never longer than the
// message.
const (
	AnySize    = 16 // the any itself
	NumberSize = 8  // a number that it points to
	HeadSize   = 24 // the head of a string or slice
	MapSize    = 48 // an empty map
	EntrySize  = 40 // a key and a value in a map
)
