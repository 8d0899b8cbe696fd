package memory

import (
	"encoding/binary"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// The broker keeps what a look-up finds of a task that is over: its queue, its metadata and its
// outcome. There can be millions of such tasks. So they are bytes on pages, which the garbage
// collector does not look into. All of a page end in the same minute, and the page is dropped then.

// kept is what a look-up finds of a task that is over.
type kept struct {
	queue   string
	meta    map[string]string
	outcome []byte // encoded by package wire
}

// keptPages has what is kept until one minute.
type keptPages struct{ pages pages[byte] }

// keptPlace is where something is in its keptPages.
type keptPlace struct{ page, at uint32 }

// add adds what is kept of a task.
func (p *keptPages) add(k kept) keptPlace {
	size := binary.MaxVarintLen32*(3+2*len(k.meta)) + len(k.queue) + len(k.outcome)
	for key, value := range k.meta {
		size += len(key) + len(value)
	}
	page := p.pages.room(size)
	place := keptPlace{uint32(len(p.pages) - 1), uint32(len(*page))}
	b := appendText(*page, k.queue)
	b = binary.AppendUvarint(b, uint64(len(k.meta)))
	for key, value := range k.meta {
		b = appendText(appendText(b, key), value)
	}
	*page = appendText(b, k.outcome)
	return place
}

// get returns what add was given. The outcome is in the memory of the page, which is never changed.
func (p *keptPages) get(place keptPlace) (k kept) {
	page := p.pages[place.page][place.at:]
	k.queue = string(takeText(&page))
	if n := takeNumber(&page); n > 0 {
		k.meta = make(map[string]string, n)
		for range n {
			key := string(takeText(&page))
			k.meta[key] = string(takeText(&page))
		}
	}
	k.outcome = takeText(&page)
	return k
}

// appendText appends a text with its length in front.
func appendText[T string | []byte](dst []byte, text T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

// takeText takes a text from the front of some bytes.
func takeText(b *[]byte) []byte {
	n := takeNumber(b)
	text := (*b)[:n:n]
	*b = (*b)[n:]
	return text
}

func takeNumber(b *[]byte) uint64 {
	v, n := binary.Uvarint(*b)
	*b = (*b)[n:]
	return v
}

// decoded returns an outcome that this package has encoded, so there can be no error. It shares no
// memory with the bytes.
func decoded(outcome []byte) *broker.Outcome {
	o, err := wire.ParseOutcome(outcome)
	if err != nil {
		panic(err)
	}
	return &o
}
