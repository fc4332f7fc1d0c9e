// The command line as a tree of arguments: declared as data in arguments.hpp, read from `key=value`
// words, printed as the configuration that goes into every output file.
//
// Words are read depth first: after a word that names a node, the following words belong to it for
// as long as they name one of its children; then they are its parent's.
#ifndef PYXSTAN_DRIVER_GRAMMAR_HPP
#define PYXSTAN_DRIVER_GRAMMAR_HPP

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <map>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace pyxstan {

// A command line that can't be run; the message is for the user.
struct usage_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class kind { group, choice, whole, natural, real, flag, text, seed };

struct argument {
  kind what;
  std::string name;
  std::string help;
  std::string fallback;                // default, as it is printed
  std::string valid;                   // the values that are accepted, in words
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool open = true;                    // whether low itself is excluded
  std::vector<argument> children;      // of a group: arguments; of a choice: one group an option
  std::string value{};                 // what was given, in canonical form; else fallback

  bool is_value() const { return what != kind::group; }
  bool is_default() const { return value == fallback; }
};

namespace detail {

inline std::string short_number(double x) {
  char text[40];
  std::snprintf(text, sizeof text, "%g", x);
  return text;
}

// The shortest text that reads back as the same number.
inline std::string canonical(double x) {
  char text[40];
  for (int digits = 6; digits <= 17; ++digits) {
    std::snprintf(text, sizeof text, "%.*g", digits, x);
    if (std::strtod(text, nullptr) == x) {
      break;
    }
  }
  return text;
}

inline bool parse_real(const std::string& text, double& x) {
  if (text.empty()) {
    return false;
  }
  char* end = nullptr;
  x = std::strtod(text.c_str(), &end);
  return *end == '\0' && !std::isnan(x);
}

inline bool parse_whole(const std::string& text, double& x) {
  double value;
  if (!parse_real(text, value) || value != std::floor(value)
      || text.find_first_not_of("+-0123456789") != std::string::npos) {
    return false;
  }
  x = value;
  return true;
}

}  // namespace detail

// Put a given value into canonical form, or throw.
inline std::string checked(const argument& a, const std::string& given) {
  const auto refuse = [&]() -> std::string {
    throw usage_error(given + " is not a valid value for \"" + a.name
                      + "\"\n  Valid values: " + a.valid);
  };
  double x = 0;
  switch (a.what) {
    case kind::flag:
      if (given == "1" || given == "true") {
        return "true";
      }
      return given == "0" || given == "false" ? "false" : refuse();
    case kind::whole:
    case kind::natural:
    case kind::seed:
      if (!detail::parse_whole(given, x) || std::fabs(x) > 4294967295.0) {
        return refuse();
      }
      break;
    case kind::real:
      if (!detail::parse_real(given, x)) {
        return refuse();
      }
      break;
    default:
      return given;
  }
  if ((a.open ? x <= a.low : x < a.low) || x > a.high) {
    return refuse();
  }
  if (a.what != kind::real) {
    return std::to_string(static_cast<long long>(x));
  }
  const std::string text = detail::canonical(x);
  return detail::short_number(x) == a.fallback && text != a.fallback
                 && std::strtod(a.fallback.c_str(), nullptr) == x
             ? a.fallback
             : text;
}

class reader {
 public:
  explicit reader(std::vector<std::string> words) : words_(std::move(words)) {}

  // Read all words into the tree.
  void read(argument& root) {
    read_children(root);
    if (at_ < words_.size()) {
      throw usage_error(words_[at_] + " is either mistyped or misplaced." + suggestion(root));
    }
  }

 private:
  std::vector<std::string> words_;
  std::size_t at_ = 0;

  void read_children(argument& node) {
    bool matched = true;
    while (matched && at_ < words_.size()) {
      matched = false;
      for (argument& child : node.children) {
        if (read_one(child)) {
          matched = true;
          break;
        }
      }
    }
  }

  bool read_one(argument& node) {
    const std::string& word = words_[at_];
    if (node.what == kind::group) {
      if (word != node.name) {
        return false;
      }
      ++at_;
      read_children(node);
      return true;
    }
    const auto equals = word.find('=');
    if (node.what == kind::choice) {
      // the method may be named alone: `sample` for `method=sample`
      const bool bare = equals == std::string::npos && node.name == "method";
      if (!bare && word.substr(0, equals) != node.name) {
        return false;
      }
      const std::string chosen
          = bare ? word : (equals == std::string::npos ? "" : word.substr(equals + 1));
      for (argument& option : node.children) {
        if (option.name == chosen) {
          node.value = chosen;
          ++at_;
          read_children(option);
          return true;
        }
      }
      if (bare) {
        return false;
      }
      throw usage_error(chosen + " is not a valid value for \"" + node.name
                        + "\"\n  Valid values: " + node.valid);
    }
    if (equals == std::string::npos || word.substr(0, equals) != node.name) {
      return false;
    }
    node.value = checked(node, word.substr(equals + 1));
    ++at_;
    return true;
  }

  // Where a misplaced word would belong.
  std::string suggestion(const argument& root) const {
    const std::string name = words_[at_].substr(0, words_[at_].find('='));
    std::vector<std::string> places;
    const std::function<void(const argument&, const std::string&)> search
        = [&](const argument& node, const std::string& path) {
            for (const argument& child : node.children) {
              std::string here = path;
              if (node.what == kind::choice) {
                here += node.name + "=" + child.name + " ";
              } else if (child.what == kind::group) {
                here += child.name + " ";
              }
              if (child.name == name && child.what != kind::group) {
                places.push_back("\n  " + path + child.name + "=<value>");
              }
              search(child, here);
            }
          };
    search(root, "");
    std::string text
        = places.empty() ? "" : "\nPerhaps you meant one of the following valid configurations?";
    for (const auto& place : places) {
      text += place;
    }
    return text;
  }
};

// The values in force, by path: "method", "sample.adapt.delta", "output.file".
class settings {
 public:
  explicit settings(const argument& root) { collect(root, ""); }

  const std::string& text(const std::string& path) const {
    const auto found = values_.find(path);
    if (found == values_.end()) {
      throw std::logic_error("no argument " + path);
    }
    return found->second;
  }
  double real(const std::string& path) const { return std::strtod(text(path).c_str(), nullptr); }
  int whole(const std::string& path) const {
    return static_cast<int>(std::strtol(text(path).c_str(), nullptr, 10));
  }
  unsigned int natural(const std::string& path) const {
    return static_cast<unsigned int>(std::strtoul(text(path).c_str(), nullptr, 10));
  }
  bool flag(const std::string& path) const { return text(path) == "true"; }

 private:
  std::map<std::string, std::string> values_;

  void collect(const argument& node, const std::string& path) {
    for (const argument& child : node.children) {
      if (child.is_value()) {
        values_[path + child.name] = child.value;
      }
      if (child.what == kind::choice) {
        // an option's arguments stand beside the choice
        for (const argument& option : child.children) {
          collect(option, path + option.name + ".");
        }
      } else {
        collect(child, path + child.name + ".");
      }
    }
  }
};

// Print the configuration, one argument a line.
inline void print(const argument& node, std::ostream& out, const std::string& prefix, int depth) {
  const std::string indent(2 * depth, ' ');
  for (const argument& child : node.children) {
    if (child.is_value()) {
      out << prefix << indent << child.name << " = " << child.value
          << (child.is_default() ? " (Default)" : "") << "\n";
    } else {
      out << prefix << indent << child.name << "\n";
    }
    if (child.what == kind::choice) {
      for (const argument& option : child.children) {
        if (option.name == child.value && !option.children.empty()) {
          out << prefix << indent << "  " << option.name << "\n";
          print(option, out, prefix, depth + 2);
        }
      }
    } else {
      print(child, out, prefix, depth + 1);
    }
  }
}

inline void print_help(const argument& node, std::ostream& out, int depth, bool deep) {
  const std::string indent(2 * depth, ' ');
  static const std::map<kind, std::string> types
      = {{kind::choice, "=<list element>"}, {kind::whole, "=<int>"}, {kind::natural, "=<unsigned int>"},
         {kind::real, "=<double>"},         {kind::flag, "=<boolean>"}, {kind::text, "=<string>"},
         {kind::seed, "=<x>"}};
  out << indent << node.name << (node.is_value() ? types.at(node.what) : "") << "\n";
  out << indent << "  " << node.help << "\n";
  if (node.is_value()) {
    out << indent << "  Valid values: " << node.valid << "\n";
    out << indent << "  Defaults to " << (node.fallback.empty() ? "\"\"" : node.fallback) << "\n";
  } else if (!node.children.empty()) {
    out << indent << "  Valid subarguments: ";
    for (std::size_t i = 0; i < node.children.size(); ++i) {
      out << (i ? ", " : "") << node.children[i].name;
    }
    out << "\n";
  }
  out << "\n";
  if (deep) {
    for (const argument& child : node.children) {
      print_help(child, out, depth + 1, true);
    }
  }
}

inline void fill_defaults(argument& node) {
  if (node.is_value()) {
    node.value = node.fallback;
  }
  for (argument& child : node.children) {
    fill_defaults(child);
  }
}

}  // namespace pyxstan

#endif
