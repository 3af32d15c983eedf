// Verifies an export with Go's own reader of transparency logs (golang.org/x/mod/sumdb), which
// shares no code with Portcullis: the checkpoint's signatures, each entry's inclusion, and that the
// log continues an earlier checkpoint.
//
//	verify EXPORT LOG-VKEY WITNESS-VKEY EARLIER-CHECKPOINT
//
// The last two may be "-".
package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	if len(os.Args) != 5 {
		fail(errors.New("four arguments are needed"))
	}
	dir, vkey, witness, earlier := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	verifiers := []note.Verifier{must(note.NewVerifier(vkey))}
	if witness != "-" {
		verifiers = append(verifiers, must(newCosignature(witness)))
	}
	tree := open(filepath.Join(dir, "checkpoint"), verifiers)
	hashes := tlog.TileHashReader(tree, tiles{dir})

	var count int64
	for bundle := int64(0); count < tree.N; bundle++ {
		t := tlog.Tile{H: 8, L: 0, N: bundle, W: int(min(256, tree.N-bundle*256))}
		path := strings.Replace(t.Path(), "tile/8/0/", "tile/entries/", 1)
		rest := must(os.ReadFile(filepath.Join(dir, path)))
		for i := 0; i < t.W; i++ {
			length := int(binary.BigEndian.Uint16(rest))
			entry := rest[2 : 2+length]
			rest = rest[2+length:]
			// Each proof reads and checks all its tiles anew; in a long log every one of some.
			if tree.N < 2000 || count%97 == 0 || count == tree.N-1 {
				proof := must(tlog.ProveRecord(tree.N, count, hashes))
				check(tlog.CheckRecord(proof, tree.N, tree.Hash, count, tlog.RecordHash(entry)))
			}
			count++
		}
		if len(rest) > 0 {
			fail(fmt.Errorf("%s holds more than %d entries", path, t.W))
		}
	}
	if earlier != "-" {
		old := open(earlier, verifiers[:1])
		proof := must(tlog.ProveTree(tree.N, old.N, hashes))
		check(tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash))
	}
	fmt.Println(count)
}

// open reads a checkpoint that all verifiers must have signed.
func open(path string, verifiers []note.Verifier) tlog.Tree {
	opened := must(note.Open(must(os.ReadFile(path)), note.VerifierList(verifiers...)))
	if len(opened.Sigs) != len(verifiers) {
		fail(fmt.Errorf("%d of %d keys signed %s", len(opened.Sigs), len(verifiers), path))
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifiers[0].Name() {
		fail(fmt.Errorf("%s is no checkpoint of %s", path, verifiers[0].Name()))
	}
	size := must(strconv.ParseInt(lines[1], 10, 64))
	return tlog.Tree{N: size, Hash: must(tlog.ParseHash(lines[2]))}
}

// tiles reads the C2SP layout, which leaves the height out of paths.
type tiles struct{ dir string }

func (tiles) Height() int { return 8 }

func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (r tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, t := range wanted {
		path := strings.Replace(t.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(r.dir, path))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

// cosignature verifies cosignature/v1 (C2SP tlog-cosignature).
type cosignature struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newCosignature(vkey string) (*cosignature, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("malformed witness key")
	}
	hash, err := strconv.ParseUint(parts[1], 16, 32)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 33 || key[0] != 4 {
		return nil, errors.New("malformed witness key")
	}
	return &cosignature{parts[0], uint32(hash), ed25519.PublicKey(key[1:])}, nil
}

func (c *cosignature) Name() string    { return c.name }
func (c *cosignature) KeyHash() uint32 { return c.hash }

func (c *cosignature) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(signature), text)
	return ed25519.Verify(c.key, []byte(message), signature[8:])
}

func min(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
