#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>
#include <vector>

#include "columns.h"
#include "descriptor.h"
#include "xattr.h"

namespace tsbuild {

// A child of a directory as the kernel tells it.
struct Child {
  std::string name;
  struct statx stat;
  std::string target;
  std::vector<Xattr> xattrs;

  EntryType type() const;
  bool isDirectory() const { return type() == EntryType::dir; }
};

// Opens the directory `path` below `root` and reads the names of its children, sorted. False when it vanished or is no
// directory any more. Throws Failure naming the path.
bool readNames(int root, const std::string& path, Descriptor* directory, std::vector<std::string>* names);

// The children of these names of an open directory; those that vanished are left out. `path` is for failures.
std::vector<Child> statChildren(int dirfd, const std::string& path, const std::vector<std::string_view>& names,
                                bool withXattrs);

// The children of the directory `path` below `root`, sorted by name. Empty when the directory vanished or is no
// directory any more; children that vanish meanwhile are left out. Throws Failure naming the path.
std::vector<Child> readChildren(int root, const std::string& path, bool withXattrs);

// Joins a directory path of a tree ("" is the root) and a name.
std::string joinPath(std::string_view parent, std::string_view name);

// Writes a child as native/entry-columns.ts reads a ScannedEntry.
void addScanned(Columns& columns, const Child& child, std::string_view path);

}  // namespace tsbuild
