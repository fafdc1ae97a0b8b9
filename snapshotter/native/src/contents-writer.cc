#include "contents-writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

#include "copy-file.h"
#include "failure.h"
#include "path-bytes.h"

namespace tsbuild {

namespace {

// As in contents.ts: a reader parses a line at a time.
constexpr size_t lineEntries = 512;

// By EntryType: dir, file, symlink, char, block, fifo, socket (none), hardlink, whiteout, opaque.
constexpr char kinds[] = "dflcbp?hwo";

int rankOf(EntryType type) {
  if (type == EntryType::whiteout) return 0;
  return type == EntryType::opaque ? 2 : 1;
}

void appendString(std::string& out, std::string_view bytes) {
  out += '"';
  for (size_t i = 0; i < bytes.size();) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    const size_t length = utf8SequenceLength(bytes, i);
    char escaped[8];
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += static_cast<char>(byte);
    } else if (byte < 0x20) {
      std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
      out += escaped;
    } else if (length == 0) {
      // What is not UTF-8 is a lone surrogate in a LayerPath (path-bytes.ts), which JSON has escapes for.
      std::snprintf(escaped, sizeof escaped, "\\u%04x", 0xdc00u + byte);
      out += escaped;
    } else {
      out.append(bytes, i, length);
    }
    i += length == 0 ? 1 : length;
  }
  out += '"';
}

void appendNumber(std::string& out, long long value) {
  out += ',';
  out += std::to_string(value);
}

void appendBase64(std::string& out, std::string_view bytes) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const auto at = [&](size_t k) { return i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u; };
    const unsigned value = (at(0) << 16) | (at(1) << 8) | at(2);
    out += digits[value >> 18];
    out += digits[(value >> 12) & 63];
    out += i + 1 < bytes.size() ? digits[(value >> 6) & 63] : '=';
    out += i + 2 < bytes.size() ? digits[value & 63] : '=';
  }
}

void appendXattrs(std::string& out, const std::vector<Xattr>& xattrs) {
  if (xattrs.empty()) return;
  char before = '[';
  out += ',';
  for (const auto& xattr : xattrs) {
    out += before;
    before = ',';
    out += '[';
    appendString(out, xattr.name);
    out += ",\"";
    appendBase64(out, xattr.value);
    out += "\"]";
  }
  out += ']';
}

}  // namespace

ContentsWriter::ContentsWriter(const std::string& path)
    : path_(path), text_("{\"format\":\"tsbuild-layer-contents\",\"version\":1}\n") {
  file_.reset(open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file_) failErrno("open", path_);
}

ContentsWriter::~ContentsWriter() {
  if (!isWhole_) unlink(path_.c_str());
}

void ContentsWriter::checkOrder(const TarEntry& entry) {
  const int rank = rankOf(entry.type);
  if (count_ > 0) {
    const int order = comparePaths(lastPath_, entry.path);
    if (order > 0 || (order == 0 && lastRank_ >= rank)) failCode("bad-argument", entry.path, "it is not in order");
  }
  lastPath_ = entry.path;
  lastRank_ = rank;
}

void ContentsWriter::add(const TarEntry& entry, std::string_view digest) {
  checkOrder(entry);
  text_ += inLine_ == 0 ? "[[\"" : ",[\"";
  text_ += kinds[static_cast<size_t>(entry.type)];
  text_ += "\",";
  appendString(text_, entry.path);
  if (entry.type != EntryType::whiteout && entry.type != EntryType::opaque) {
    appendNumber(text_, entry.mode);
    appendNumber(text_, static_cast<long long>(entry.uid));
    appendNumber(text_, static_cast<long long>(entry.gid));
    appendNumber(text_, entry.mtimeSec);
    if (entry.type == EntryType::file) {
      appendNumber(text_, static_cast<long long>(entry.size));
      text_ += ",\"";
      text_ += digest.substr(digest.find(':') + 1);
      text_ += '"';
    } else if (entry.type == EntryType::symlink || entry.type == EntryType::hardlink) {
      text_ += ',';
      appendString(text_, entry.target);
    } else if (entry.type == EntryType::charDevice || entry.type == EntryType::blockDevice) {
      appendNumber(text_, entry.major);
      appendNumber(text_, entry.minor);
    }
    appendXattrs(text_, entry.xattrs);
  }
  text_ += ']';
  count_ += 1;
  inLine_ += 1;
  if (inLine_ == lineEntries) flush();
}

// Ends the line that was begun.
void ContentsWriter::flush() {
  if (inLine_ > 0) text_ += "]\n";
  inLine_ = 0;
  writeBytes(file_.get(), reinterpret_cast<const uint8_t*>(text_.data()), text_.size(), path_);
  text_.clear();
}

void ContentsWriter::finish() {
  flush();
  text_ = "{\"count\":" + std::to_string(count_) + "}\n";
  flush();
  // Some filesystems say only now that the disk is full.
  if (close(file_.release()) != 0) failErrno("close", path_);
  isWhole_ = true;
}

}  // namespace tsbuild
