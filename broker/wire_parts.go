package broker

import (
	"fmt"
	"slices"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// What more than one record is made of. The encoders write to a buffer that
// can't fail; see encode.

func encodeCodec(e *msgpack.Encoder, name string) {
	if name == defaultCodec {
		name = ""
	}
	_ = e.EncodeString(name)
}

func decodeCodec(d *msgpack.Decoder) (string, error) {
	name, err := d.DecodeString()
	if name == "" {
		name = defaultCodec
	}
	return name, err
}

func encodeBytes(e *msgpack.Encoder, b []byte) {
	if len(b) == 0 {
		_ = e.EncodeNil()
		return
	}
	_ = e.EncodeBytes(b)
}

func encodeID(e *msgpack.Encoder, id ID) {
	if id.IsZero() {
		_ = e.EncodeNil()
		return
	}
	_ = e.EncodeBytes(id[:])
}

func decodeID(d *msgpack.Decoder) (ID, error) {
	n, err := d.DecodeBytesLen()
	if err != nil || n < 0 { // nil is the zero id
		return ID{}, err
	}
	var id ID
	if n != len(id) {
		return ID{}, fmt.Errorf("an id of %d bytes, want %d", n, len(id))
	}
	return id, d.ReadFull(id[:])
}

func encodeTime(e *msgpack.Encoder, t time.Time) {
	if t.IsZero() {
		_ = e.EncodeUint(0)
		return
	}
	_ = e.EncodeInt(t.UnixMilli())
}

func decodeTime(d *msgpack.Decoder) (time.Time, error) {
	ms, err := d.DecodeInt64()
	if err != nil || ms == 0 {
		return time.Time{}, err
	}
	return time.UnixMilli(ms).UTC(), nil
}

// encodeKeep writes how long something is kept: 0 for the usual time, else
// milliseconds and one.
func encodeKeep(e *msgpack.Encoder, d, usual time.Duration) {
	if d == usual {
		_ = e.EncodeUint(0)
		return
	}
	_ = e.EncodeUint(uint64(d/time.Millisecond) + 1)
}

func decodeKeep(d *msgpack.Decoder, usual time.Duration) (time.Duration, error) {
	n, err := d.DecodeInt64()
	if err != nil || n == 0 {
		return usual, err
	}
	return time.Duration(n-1) * time.Millisecond, nil
}

// encodeMeta writes the keys in order, so that equal records are equal bytes.
func encodeMeta(e *msgpack.Encoder, meta map[string]string) {
	if len(meta) == 0 {
		_ = e.EncodeNil()
		return
	}
	keys := make([]string, 0, len(meta))
	for k := range meta {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	_ = e.EncodeMapLen(len(keys))
	for _, k := range keys {
		_ = e.EncodeString(k)
		_ = e.EncodeString(meta[k])
	}
}

func decodeMeta(d *msgpack.Decoder) (map[string]string, error) {
	n, err := d.DecodeMapLen()
	if err != nil || n <= 0 {
		return nil, err
	}
	meta := make(map[string]string, min(n, 64))
	for range n {
		k, err := d.DecodeString()
		if err != nil {
			return nil, err
		}
		if meta[k], err = d.DecodeString(); err != nil {
			return nil, err
		}
	}
	return meta, nil
}

func encodeStrings(e *msgpack.Encoder, list []string) {
	if len(list) == 0 {
		_ = e.EncodeNil()
		return
	}
	_ = e.EncodeArrayLen(len(list))
	for _, s := range list {
		_ = e.EncodeString(s)
	}
}

func decodeStrings(d *msgpack.Decoder) ([]string, error) {
	n, err := d.DecodeArrayLen()
	if err != nil || n <= 0 {
		return nil, err
	}
	list := make([]string, 0, min(n, 64))
	for range n {
		s, err := d.DecodeString()
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}
