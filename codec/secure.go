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

	"github.com/go-arbiter/arbiter/codec/internal/rules"
)

// secureVersion is the first byte of sealed bytes. It is authenticated together with the name of the codec, so the bytes
// of one codec are not valid for another. Version 1 authenticated nothing else; version 2 also authenticates the about
// of [Sealer.Seal].
const secureVersion = 2

// minKey is the least length of a key of Sign, in bytes.
const minKey = 16

// Sign returns a codec that signs the bytes of c with HMAC-SHA256. Without the key, write access
// to the broker is not enough to make minions run tasks, or to forge results, failures and events. The codec's name is
// the name of c with +signed.
//
// It signs with key. Bytes that are not signed with key or one of the keys in more are [ErrForged]. So keys can be changed
// one process after the other: docs/security.md has the steps. It makes fingerprints with key, too; with [FingerprintWith]
// they have a key of their own, which stays when key is changed. If a minion or an arbiter has this codec, by its option
// Codec or Codecs, it refuses the built-in codecs unless they are named there, too.
//
// Arbiters and minions sign the bytes together with a description of their use: the task, the queue, the group or pipe,
// and whether they are arguments or a result; see [Sealer]. docs/security.md has the complete list, and what a signature
// can't prevent.
//
// Each key must have 16 bytes or more. The error says which key is too short, or why c can't be used.
func Sign(c Codec, key []byte, more ...[]byte) (Codec, error) {
	if err := Check(c); err != nil {
		return nil, err
	}
	keys := append([][]byte{key}, more...)
	for i, k := range keys {
		if len(k) < minKey {
			return nil, fmt.Errorf("codec: key %d of Sign has %d bytes, want %d or more", i+1, len(k), minKey)
		}
		keys[i] = slices.Clone(k)
	}
	name := c.Name() + "+signed"
	printKey, err := fingerprintKey(key, name)
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
			return nil, rules.Because(ErrForged, "signature does not match: the bytes were made without the key, were changed, or belong elsewhere")
		},
	}, nil
}

// Encrypt returns a codec that encrypts the bytes of c with AES-256-GCM, which also detects changes: the rules of [Sign]
// apply to it, too. The codec's name is the name of c with +sealed. Each key must have 32 bytes. The error says which key
// has another length, or why c can't be used.
//
// Arguments, results and events are encrypted. Names, options, errors, metadata and unique keys are not: [Hide] says
// which of them can be hidden.
//
// The nonces are random, so a key is good for 2³² messages. With more messages, the probability that two have the same
// nonce, which would break the encryption of both, exceeds 2⁻³². A task takes two or three messages: at 1,000 tasks a
// second, change the key every three weeks.
//
// Encrypting the same bytes again gives other bytes. Tasks that a repeated attempt sends again are recognized all the
// same, by their fingerprints, unless the key of the fingerprints has changed in between: see [FingerprintWith].
func Encrypt(c Codec, key []byte, more ...[]byte) (Codec, error) {
	if err := Check(c); err != nil {
		return nil, err
	}
	name := c.Name() + "+sealed"
	var keys []cipher.AEAD
	given := append([][]byte{key}, more...)
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
	printKey, err := fingerprintKey(key, name)
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
			return nil, rules.Because(ErrForged, "no key fits: the bytes were made without the key, were changed, or belong elsewhere")
		},
	}, nil
}

// FingerprintWith returns a codec that seals as c does, and makes its fingerprints with key: see [Sealer.Fingerprint]. So
// the fingerprints stay the same when the keys of c are changed. Without it, [Sign] and [Encrypt] make fingerprints with
// their first key, and FingerprintWith that key makes the same ones. The key alone can't open or seal
// a message. But an attacker who has it can guess short arguments and unique keys, and compare their fingerprints.
//
// The key must have 16 bytes or more. It is an error if c is not a codec of Sign, Encrypt or [Hide]: a codec of your own
// has its own method Fingerprint.
func FingerprintWith(c Codec, key []byte) (Codec, error) {
	if err := Check(c); err != nil {
		return nil, err
	}
	if len(key) < minKey {
		return nil, fmt.Errorf("codec: the key of FingerprintWith has %d bytes, want %d or more", len(key), minKey)
	}
	switch c := c.(type) {
	case *sealed:
		printKey, err := fingerprintKey(key, c.name)
		if err != nil {
			return nil, err
		}
		own := *c
		own.printKey = printKey
		return &own, nil
	case hiding:
		inner, err := FingerprintWith(c.Sealer, key)
		if err != nil {
			return nil, err
		}
		return hiding{inner.(Sealer), c.what}, nil
	}
	return nil, fmt.Errorf("codec %s: FingerprintWith needs a codec of Sign, Encrypt or Hide", c.Name())
}

// fingerprintKey returns the key of the fingerprints of the codec with that name. It is derived, so that fingerprints are
// made with another key than seals.
func fingerprintKey(key []byte, name string) ([]byte, error) {
	return hkdf.Key(sha256.New, key, nil, "arbiter fingerprint "+name, sha256.Size)
}

// boundTo returns the data that is authenticated beside the bytes themselves. Each part has its length in front, so
// that the parts can't be shifted against each other.
func boundTo(name string, about []byte) []byte {
	b := make([]byte, 0, 1+4+len(name)+4+len(about))
	b = append(b, secureVersion)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(name))), name...)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(about))), about...)
}

// secured checks the first byte of sealed bytes, and returns the bytes after it.
func secured(data []byte, least int) ([]byte, error) {
	switch {
	case len(data) == 0:
		return nil, rules.Because(ErrForged, "there is no seal")
	case data[0] == 1:
		return nil, rules.Because(ErrForged, "the seal has version 1, of an earlier build; let the queues run empty before an update")
	case data[0] != secureVersion:
		return nil, rules.Because(ErrForged, "the seal has the unknown version %d", data[0])
	case len(data) < 1+least:
		return nil, rules.Because(ErrTruncated, "the seal is cut off after %d bytes", len(data))
	}
	return data[1:], nil
}
