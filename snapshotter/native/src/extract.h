#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cancellation.h"
#include "descriptor.h"
#include "tar-entry.h"
#include "tar-read.h"

namespace tsbuild {

enum class Whiteouts { overlay, apply, plain };

struct ExtractSettings {
  std::string root;
  Whiteouts whiteouts;
  bool userXattr;
  // chown and attributes; else modes only.
  bool withOwners;
  // Else they are left out without a try.
  bool withDevices;
  // The owner may read every file and change every directory afterwards, whatever their modes are.
  bool opensAll = false;
};

// What could not be made for want of a privilege or a feature of the filesystem.
struct Skipped {
  std::string path;
  // `device`, or the name of an extended attribute.
  std::string what;
};

// Writes entries below a directory. Parents are resolved inside that root by descriptor, symlinks as in a chroot
// (openat2 RESOLVE_IN_ROOT); the last component is never followed. What is in the way goes, but directories merge.
class Extractor {
 public:
  Extractor(const ExtractSettings& settings, const Cancellation& cancellation);

  // A file's bytes come from `reader` and go to `copied` as well.
  void apply(const TarEntry& entry, TarReader& reader, const ByteSink& copied);
  // Writes the bytes of a new, empty file.
  using FileFill = std::function<void(int file)>;
  // A file's bytes are what `fill` writes.
  void apply(const TarEntry& entry, const FileFill& fill);
  // The same in two steps, for a file without attributes: `create` makes it, empty; when it has its bytes, `complete` gives
  // it the rest, on any thread.
  Descriptor create(const TarEntry& entry);
  void complete(int file, const TarEntry& entry) const;
  // The file comes from another place of the filesystem, where nobody else changes it: it is moved to its own.
  void move(const TarEntry& entry, int fromParent, const std::string& fromBase);
  // Times and last modes of directories: what was made in them has changed them.
  void finish();

  const std::vector<Skipped>& skipped() const { return skipped_; }

 private:
  struct DirectoryFate {
    uint32_t mode;
    int64_t mtimeSec;
  };

  // extract.cc: what is made.
  int parentOf(std::string_view path);
  Descriptor resolveDirectory(const std::string& path) const;
  uint32_t fileMode(const TarEntry& entry) const;
  void noteUnpacked(const std::string& path);
  void makeMissing(const std::string& path);
  [[noreturn]] void failParent(const std::string& path, int error) const;
  // Retries `make` after removing what is in the way.
  template <typename Make>
  void makeEntry(int parent, const std::string& base, const TarEntry& entry, const char* syscall, Make make);
  void makeDirectory(int parent, const std::string& base, const TarEntry& entry);
  Descriptor createFile(int parent, const std::string& base, const TarEntry& entry);
  void makeHardlink(int parent, const std::string& base, const TarEntry& entry);
  bool makeNode(int parent, const std::string& base, const TarEntry& entry);
  void clearWay(int parent, const std::string& base, const TarEntry& entry);

  // extract-whiteouts.cc: what is hidden or removed.
  void applyWhiteout(const TarEntry& entry);
  void applyOpaque(const TarEntry& entry);
  void markOpaque(int parent, const std::string& base, std::string_view path);
  bool isCleared(const std::string& path) const;
  void removeOlder(const std::string& path, bool withItself);

  // extract-metadata.cc
  void setMetadata(int parent, const std::string& base, const TarEntry& entry);
  void setDirectoryMetadata(int parent, const std::string& base, const TarEntry& entry, uint32_t mode);
  void dropXattrs(int parent, const std::string& base, const TarEntry& entry);
  void setXattrs(int parent, const std::string& base, const TarEntry& entry);

  const ExtractSettings settings_;
  const Cancellation& cancellation_;
  const Descriptor root_;
  // Open parents by path. A removal may change what a path means, so it empties this.
  std::unordered_map<std::string, Descriptor> parents_;
  std::map<std::string, DirectoryFate> directories_;
  // `apply` only: what this layer has brought, sorted so that all below a path are together.
  std::set<std::string> unpacked_;
  // `apply` only: where nothing of earlier layers is left.
  std::unordered_set<std::string> cleared_;
  std::vector<Skipped> skipped_;
};

}  // namespace tsbuild
