// Tlogcheck verifies a copy of a log's folder with code that this project did not write:
// golang.org/x/mod/sumdb, the reference implementation of tiled logs and signed notes.
//
//	tlogcheck FOLDER KEY [CHECKPOINT]
//
// It opens the note, hashes every entry, and asks tlog's own reader for the hash of each leaf: that
// reader believes a tile only if it leads to the signed root. Then it makes and checks inclusion
// proofs, and, where an older checkpoint is given, the proof that the log only grew since.
// Of its own it has no more than the paths of C2SP tlog-tiles and the reading of a bundle.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height = 8
	width  = 1 << height
)

func main() {
	if len(os.Args) < 3 || len(os.Args) > 4 {
		fmt.Fprintln(os.Stderr, "usage: tlogcheck FOLDER KEY [CHECKPOINT]")
		os.Exit(2)
	}
	said, err := check(os.Args[1], os.Args[2], os.Args[3:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
	fmt.Println(said)
}

func check(dir, key string, older []string) (string, error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return "", err
	}
	tree, err := open(filepath.Join(dir, "checkpoint"), verifier)
	if err != nil {
		return "", err
	}
	hashes := tlog.TileHashReader(tree, folder(dir))
	if err := entries(dir, tree, hashes); err != nil {
		return "", err
	}
	proofs, err := proveRecords(tree, hashes)
	if err != nil {
		return "", err
	}
	for _, path := range older {
		old, err := open(path, verifier)
		if err != nil {
			return "", err
		}
		proof, err := tlog.ProveTree(tree.N, old.N, hashes)
		if err != nil {
			return "", err
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
			return "", err
		}
		proofs++
	}
	return fmt.Sprintf("verified %d entries and %d proofs", tree.N, proofs), nil
}

// open reads a checkpoint without extension lines: origin, size, root.
func open(path string, verifier note.Verifier) (tlog.Tree, error) {
	msg, err := os.ReadFile(path)
	if err != nil {
		return tlog.Tree{}, err
	}
	signed, err := note.Open(msg, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(signed.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() || lines[3] != "" {
		return tlog.Tree{}, fmt.Errorf("no checkpoint of %s: %q", verifier.Name(), signed.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("no root: %q", lines[2])
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], root)
	return tree, nil
}

// entries hashes every entry and compares it with the leaf that the tiles prove.
func entries(dir string, tree tlog.Tree, hashes tlog.HashReader) error {
	for start := int64(0); start < tree.N; start += width {
		count := tree.N - start
		if count > width {
			count = width
		}
		data, err := read(dir, "entries/", tlog.Tile{H: height, L: 0, N: start / width, W: int(count)})
		if err != nil {
			return err
		}
		indexes := make([]int64, count)
		own := make([]tlog.Hash, count)
		for i := range indexes {
			if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
				return fmt.Errorf("entry %d: the bundle ends", start+int64(i))
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			indexes[i] = tlog.StoredHashIndex(0, start+int64(i))
			own[i] = tlog.RecordHash(data[2:end])
			data = data[end:]
		}
		proved, err := hashes.ReadHashes(indexes)
		if err != nil {
			return err
		}
		for i := range own {
			if own[i] != proved[i] {
				return fmt.Errorf("entry %d: not the one in the tree", start+int64(i))
			}
		}
	}
	return nil
}

func proveRecords(tree tlog.Tree, hashes tlog.HashReader) (int, error) {
	made := 0
	for _, index := range []int64{0, 1, tree.N / 3, tree.N / 2, tree.N - 1} {
		if index < 0 || index >= tree.N {
			continue
		}
		proof, err := tlog.ProveRecord(tree.N, index, hashes)
		if err != nil {
			return made, err
		}
		leaf, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
		if err != nil {
			return made, err
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, leaf[0]); err != nil {
			return made, err
		}
		made++
	}
	return made, nil
}

// folder is a tlog.TileReader of a folder on the disk.
type folder string

func (f folder) Height() int { return height }

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, len(tiles))
	for i, tile := range tiles {
		data, err := read(string(f), strconv.Itoa(tile.L)+"/", tile)
		if err != nil {
			return nil, err
		}
		found[i] = data
	}
	return found, nil
}

// read returns a tile's or bundle's file, or the full one's where the partial one is gone.
func read(dir, level string, tile tlog.Tile) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(dir, path(level, tile)))
	if errors.Is(err, fs.ErrNotExist) && tile.W < width {
		full := tile
		full.W = width
		data, err = os.ReadFile(filepath.Join(dir, path(level, full)))
	}
	if err == nil && level != "entries/" && len(data) > tile.W*tlog.HashSize {
		data = data[:tile.W*tlog.HashSize]
	}
	return data, err
}

// path is tlog's own, without the height that C2SP leaves out: tile/8/0/x001/067 is tile/0/x001/067.
func path(level string, tile tlog.Tile) string {
	prefix := fmt.Sprintf("tile/%d/%d/", tile.H, tile.L)
	return "tile/" + level + strings.TrimPrefix(tile.Path(), prefix)
}
