package codec

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
)

// secureVersion is the first byte of a seal. It is authenticated with the name of the
// codec: bytes of one kind can't be passed off as another. Version 1 was bound to
// nothing else; this one is bound to what [Sealer.Seal] calls about.
const secureVersion = 2

// minKey is how many bytes a key of Sign has at least.
const minKey = 16

// Sign returns a codec that signs what c makes with HMAC-SHA256: whoever can
// write to the broker but does not know the key can't make minions run anything,
// nor forge results, failures and events. Its name is that of c with +signed. Bytes
// that are not signed with the key, or one of the older ones, are [ErrForged]; so keys
// can be changed one process after the other. Where the codec is among those of a
// minion or an arbiter, by Codec or by Codecs, the built in ones are refused unless
// they are named there, too.
//
// Arbiters and minions sign more than the bytes: to which task, queue, flow and
// direction they belong, see [Sealer]. docs/security.md lists it all, and what
// a signature can't prevent.
//
// The key has 16 bytes or more; the error says so.
func Sign(c Codec, key []byte, older ...[]byte) (Codec, error) {
	if err := Check(c); err != nil {
		return nil, err
	}
	keys := append([][]byte{key}, older...)
	for i, k := range keys {
		if len(k) < minKey {
			return nil, fmt.Errorf("codec: key %d of Sign has %d bytes, want %d or more", i+1, len(k), minKey)
		}
		keys[i] = slices.Clone(k)
	}
	name := c.Name() + "+signed"
	printKey, err := fingerprintKey(keys, name)
	if err != nil {
		return nil, err
	}
	mac := func(key, plain, about []byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write(boundTo(name, about))
		h.Write(plain)
		return h.Sum(nil)
	}
	return &sealed{
		name: name, inner: c, printKey: printKey,
		seal: func(dst, plain, about []byte) []byte {
			dst = append(append(dst, secureVersion), mac(keys[0], plain, about)...)
			return append(dst, plain...)
		},
		open: func(data, about []byte) ([]byte, error) {
			data, err := secured(data, sha256.Size)
			if err != nil {
				return nil, err
			}
			sum, plain := data[:sha256.Size], data[sha256.Size:]
			for _, k := range keys {
				if hmac.Equal(sum, mac(k, plain, about)) {
					return plain, nil
				}
			}
			return nil, because(ErrForged, "signature does not match: the bytes were made without the key, were changed, or belong elsewhere")
		},
	}, nil
}

// Encrypt returns a codec that encrypts what c makes with AES-256-GCM, which
// also shows whether it was changed: what holds for [Sign] holds for it, too. Its
// name is that of c with +sealed. A key has 32 bytes; the error says so.
//
// Encrypted are arguments, results and events. Names, options, errors, metadata and
// unique keys are not: [Hide] says what can be hidden, too.
//
// The nonces are random, so a key is good for 2³² messages; with more of them the
// chance that two have the same nonce, which would break both, exceeds 2⁻³². A task
// takes two or three messages: at 1,000 tasks a second change the key every three weeks.
//
// The bytes are other ones each time. What a task sends is sent once all the same,
// however often it is run again, unless the oldest key was dropped meanwhile: see
// [Sealer].
func Encrypt(c Codec, key []byte, older ...[]byte) (Codec, error) {
	if err := Check(c); err != nil {
		return nil, err
	}
	name := c.Name() + "+sealed"
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
	printKey, err := fingerprintKey(given, name)
	if err != nil {
		return nil, err
	}
	return &sealed{
		name: name, inner: c, printKey: printKey, secret: true,
		seal: func(dst, plain, about []byte) []byte {
			return keys[0].Seal(append(dst, secureVersion), nil, plain, boundTo(name, about))
		},
		open: func(data, about []byte) ([]byte, error) {
			data, err := secured(data, keys[0].Overhead())
			if err != nil {
				return nil, err
			}
			extra := boundTo(name, about)
			for _, k := range keys {
				if plain, err := k.Open(nil, nil, data, extra); err == nil {
					return plain, nil
				}
			}
			return nil, because(ErrForged, "no key fits: the bytes were made without the key, were changed, or belong elsewhere")
		},
	}, nil
}

// fingerprintKey is made of the oldest key: that is the one which processes have in
// common while keys are changed one process after the other.
func fingerprintKey(keys [][]byte, name string) ([]byte, error) {
	return hkdf.Key(sha256.New, keys[len(keys)-1], nil, "arbiter fingerprint "+name, sha256.Size)
}

// boundTo returns what is authenticated beside the bytes themselves. The lengths keep
// the parts from being taken for each other.
func boundTo(name string, about []byte) []byte {
	b := make([]byte, 0, 1+4+len(name)+4+len(about))
	b = append(b, secureVersion)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(name))), name...)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(about))), about...)
}

// secured checks what is in front of sealed bytes, and returns what is behind.
func secured(data []byte, least int) ([]byte, error) {
	switch {
	case len(data) == 0:
		return nil, because(ErrForged, "there is no seal")
	case data[0] == 1:
		return nil, because(ErrForged, "the seal is of version 1, which an earlier build has made; let queues run empty before an update")
	case data[0] != secureVersion:
		return nil, because(ErrForged, "a seal of version %d is unknown", data[0])
	case len(data) < 1+least:
		return nil, because(ErrTruncated, "%d bytes", len(data))
	}
	return data[1:], nil
}
