#pragma once

#include <functional>
#include <string_view>

namespace tsbuild {

// Calls `visit(name, d_type)` for each entry of the directory but "." and "..". False with errno on failure.
bool readDirectory(int fd, const std::function<void(std::string_view, unsigned char)>& visit);

}  // namespace tsbuild
