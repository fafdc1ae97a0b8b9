#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tsbuild {

struct Xattr {
  std::string name;
  std::string value;
};

// The attributes of `name` in `dirfd`, sorted by name; symlinks are not followed. Attributes that vanish meanwhile or
// that a filesystem without attributes lacks are not there. Throws Failure naming `path`.
std::vector<Xattr> listXattrsAt(int dirfd, const std::string& name, std::string_view path);

// 0, or the errno. Symlinks are not followed.
int setXattrAt(int dirfd, const std::string& name, const Xattr& attribute);

// 0, or the errno. Symlinks are not followed.
int removeXattrAt(int dirfd, const std::string& name, const std::string& attribute);

// Attributes that steer overlayfs: content must never bring them along, it could redirect lookups out of its layer.
bool isOverlayXattr(std::string_view name);

}  // namespace tsbuild
