// What files.hpp declares; for main.cpp alone, as the readers take long to compile.
#ifndef PYXSTAN_DRIVER_FILES_DEFINITIONS_HPP
#define PYXSTAN_DRIVER_FILES_DEFINITIONS_HPP

#include "files.hpp"

#include <stan/io/dump.hpp>
#include <stan/io/empty_var_context.hpp>
#include <stan/io/json/json_data.hpp>

#include <stan/version.hpp>

#include <sys/stat.h>

#include <iostream>
#include <sstream>
#include <stdexcept>

namespace pyxstan {

namespace {

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() > end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

bool is_folder(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool readable(const std::string& file) {
  return !is_folder(file) && std::ifstream(file).good();
}

// The folder that a file is to lie in exists.
bool has_folder(const std::string& file) {
  const auto slash = file.rfind('/');
  return slash == std::string::npos || slash == 0 || is_folder(file.substr(0, slash));
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::stringstream stream(list);
  for (std::string part; std::getline(stream, part, ',');) {
    parts.push_back(part);
  }
  return parts;
}

// Put the parts of a list, cut at every comma, together to so many names of files in folders that
// there are: names of folders may have commas. False if they can't be.
bool grouped(const std::vector<std::string>& parts, std::size_t first, std::size_t count,
             std::vector<std::string>& names) {
  if (count == 0) {
    return first == parts.size();
  }
  std::string name;
  for (std::size_t last = first; last < parts.size(); ++last) {
    name += (last == first ? "" : ",") + parts[last];
    if (has_folder(name)) {
      names.push_back(name);
      if (grouped(parts, last + 1, count - 1, names)) {
        return true;
      }
      names.pop_back();
    }
  }
  return false;
}

// Whether a name with commas is that of one file (to be numbered, it may be) and no list: it is
// there, or its folder is, which has the commas in its name.
bool is_one(const std::string& file) {
  const auto slash = file.rfind('/');
  const auto comma = file.rfind(',');
  return comma == std::string::npos || readable(file)
         || (slash != std::string::npos && comma < slash && has_folder(file));
}

}  // namespace

context_ptr read_context(const std::string& file) {
  if (file.empty()) {
    return std::make_shared<stan::io::empty_var_context>();
  }
  std::ifstream stream(file);
  if (!stream) {
    throw std::runtime_error("Cannot open specified file, \"" + file + "\"");
  }
  if (ends_with(file, ".json")) {
    return std::make_shared<stan::json::json_data>(stream);
  }
#if !(STAN_MAJOR == 2 && STAN_MINOR < 36)
  if (!ends_with(file, ".R")) {
    throw std::runtime_error("\"" + file + "\" is not a file of variables: expected .json or .R");
  }
#endif
  std::cerr << "Warning: \"" << file << "\" is read as R dump, an outdated format; prefer JSON\n";
  const auto dump = std::make_shared<stan::io::dump>(stream);
  if (!ends_with(file, ".R")) {
    std::vector<std::string> reals, integers;
    dump->names_r(reals);
    dump->names_i(integers);
    if (reals.empty() && integers.empty()) {
      throw std::runtime_error("\"" + file + "\" is neither an R dump nor named .json");
    }
  }
  return dump;
}

std::string stem(const std::string& file) {
  const auto slash = file.rfind('/');
  const auto dot = file.rfind('.');
  const bool has = dot != std::string::npos && (slash == std::string::npos || dot > slash);
  return has ? file.substr(0, dot) : file;
}

std::string suffixed(const std::string& file, const std::string& suffix,
                     const std::string& default_extension) {
  const std::string base = stem(file);
  const std::string ending = base.size() < file.size() ? file.substr(base.size())
                                                       : default_extension;
  return base + (suffix.empty() ? "" : "_" + suffix) + ending;
}

std::vector<std::string> chain_files(const std::string& file, std::size_t chains, unsigned int id) {
  if (!is_one(file)) {
    auto files = split(file);
    std::vector<std::string> names;
    if (files.size() > chains && grouped(files, 0, chains, names)) {
      return names;
    }
    if (files.size() != chains) {
      throw std::runtime_error("Found " + std::to_string(files.size()) + " file names in \"" + file
                               + "\", expected one for each of " + std::to_string(chains)
                               + " chains");
    }
    return files;
  }
  std::vector<std::string> files;
  for (std::size_t i = 0; i < chains; ++i) {
    files.push_back(chains == 1 ? file : suffixed(file, std::to_string(id + i), ""));
  }
  return files;
}

std::vector<std::string> input_files(const std::string& file, std::size_t chains, unsigned int id) {
  auto files = chain_files(file, chains, id);
  if (chains > 1 && is_one(file)) {
    for (const auto& one : files) {
      if (readable(one)) {
        continue;
      }
      if (!readable(file)) {
        throw std::runtime_error("Cannot open \"" + one + "\", nor \"" + file
                                 + "\" for all chains");
      }
      std::cerr << "Warning: all " << chains << " chains read \"" << file << "\"\n";
      return std::vector<std::string>(chains, file);
    }
  }
  return files;
}

namespace {

// A stream whose writes fail aloud. It is unbuffered, so that nothing is left to be written when it
// is destroyed, which could fail in silence alone.
class json_file : public std::ofstream {
 public:
  json_file(const std::string& name, int digits) : buffer_(name) {
    std::ios::rdbuf(&buffer_);
    exceptions(std::ios::badbit);  // of the stream, which passes on what the buffer throws
    precision(digits);
  }

 private:
  class buffer : public std::filebuf {
   public:
    explicit buffer(const std::string& name) : name_(name) {
      pubsetbuf(nullptr, 0);
      if (open(name, std::ios::out) == nullptr) {
        throw std::runtime_error("Cannot open output file \"" + name + "\"");
      }
    }

   protected:
    std::streamsize xsputn(const char* text, std::streamsize size) override {
      return std::filebuf::xsputn(text, size) == size ? size : fail();
    }
    int_type overflow(int_type c) override {
      const int_type written = std::filebuf::overflow(c);
      return written == traits_type::eof() ? fail() : written;
    }

   private:
    std::string name_;

    [[noreturn]] int fail() const {
      throw std::runtime_error("Cannot write output file \"" + name_ + "\" (is the disk full?)");
    }
  };
  buffer buffer_;
};

}  // namespace

json_output open_json(const std::string& file, int digits) {
  if (file.empty()) {
    return json_output();
  }
  auto stream = std::make_unique<json_file>(file, digits < 0 ? 6 : digits);
  return json_output(std::move(stream));
}

}  // namespace pyxstan

#endif
