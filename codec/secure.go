package codec

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"
)

// Both begin with a version, which is authenticated with the name of the codec:
// bytes of one kind can't be passed off as another.
const secureVersion = 1

// minKey is how many bytes a key of Sign has at least.
const minKey = 16

// Sign returns a codec that signs what c makes with HMAC-SHA256: whoever can
// write to the broker but does not know the key can't make minions run anything,
// nor forge results. Its name is that of c with +signed. Bytes that are not
// signed with the key, or one of the older ones, are [ErrForged]; so keys can
// be changed one process after the other. Where the codec is among those of a
// minion or an arbiter, by Codec or by Codecs, the built in ones are refused unless
// they are named there, too.
//
// Signed are the arguments and results, not the task's name and options: bytes
// that were signed once can be sent again by whoever has seen them.
//
// The key has 16 bytes or more; the error says so.
func Sign(c Codec, key []byte, older ...[]byte) (Codec, error) {
	keys := append([][]byte{key}, older...)
	for i, k := range keys {
		if len(k) < minKey {
			return nil, fmt.Errorf("codec: key %d of Sign has %d bytes, want %d or more", i+1, len(k), minKey)
		}
		keys[i] = slices.Clone(k)
	}
	name := c.Name() + "+signed"
	mac := func(key, plain []byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte{secureVersion})
		h.Write([]byte(name))
		h.Write(plain)
		return h.Sum(nil)
	}
	return &wrapped{
		inner: c, name: name, safe: true,
		seal: func(dst, plain []byte) ([]byte, error) {
			dst = append(append(dst, secureVersion), mac(keys[0], plain)...)
			return append(dst, plain...), nil
		},
		open: func(data []byte) ([]byte, error) {
			data, err := secured(data, sha256.Size)
			if err != nil {
				return nil, err
			}
			sum, plain := data[:sha256.Size], data[sha256.Size:]
			for _, k := range keys {
				if hmac.Equal(sum, mac(k, plain)) {
					return plain, nil
				}
			}
			return nil, because(ErrForged, "signature does not match")
		},
	}, nil
}

// Encrypt returns a codec that encrypts what c makes with AES-256-GCM, which
// also shows whether it was changed: what holds for [Sign] holds for it, too. Its
// name is that of c with +sealed. A key has 32 bytes; the error says so.
//
// The bytes are other ones each time. What a task sends is sent once all the same,
// however often it is run again, unless the oldest key was dropped meanwhile: see
// [Sealer].
func Encrypt(c Codec, key []byte, older ...[]byte) (Codec, error) {
	name := c.Name() + "+sealed"
	extra := append([]byte{secureVersion}, name...)
	var keys []cipher.AEAD
	given := append([][]byte{key}, older...)
	for i, k := range given {
		if len(k) != 32 {
			return nil, fmt.Errorf("codec: key %d of Encrypt has %d bytes, want 32", i+1, len(k))
		}
		block, err := aes.NewCipher(k)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		keys = append(keys, aead)
	}
	// With the oldest key: that is the one which processes have in common while
	// keys are changed one process after the other.
	printKey, err := hkdf.Key(sha256.New, given[len(given)-1], nil, "arbiter fingerprint "+name, sha256.Size)
	if err != nil {
		return nil, err
	}
	return &wrapped{
		inner: c, name: name, safe: true,
		seal: func(dst, plain []byte) ([]byte, error) {
			return keys[0].Seal(append(dst, secureVersion), nil, plain, extra), nil
		},
		open: func(data []byte) ([]byte, error) {
			data, err := secured(data, keys[0].Overhead())
			if err != nil {
				return nil, err
			}
			for _, k := range keys {
				if plain, err := k.Open(nil, nil, data, extra); err == nil {
					return plain, nil
				}
			}
			return nil, because(ErrForged, "no key fits")
		},
		hide: func(print []byte) []byte {
			h := hmac.New(sha256.New, printKey)
			h.Write(print)
			return h.Sum(nil)
		},
	}, nil
}

// secured checks what is in front of sealed bytes, and returns what is behind.
func secured(data []byte, least int) ([]byte, error) {
	switch {
	case len(data) < 1+least:
		return nil, because(ErrTruncated, "%d bytes", len(data))
	case data[0] != secureVersion:
		return nil, because(ErrSyntax, "version %d is unknown", data[0])
	}
	return data[1:], nil
}
