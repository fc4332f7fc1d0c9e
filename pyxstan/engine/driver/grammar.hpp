// The command line as a tree of arguments: declared as data in arguments.hpp, read from `key=value`
// words, printed as the configuration that goes into every output file.
//
// Words are read depth first: after a word that names a node, the following words belong to it for
// as long as they name one of its children; then they are its parent's. A value may be given again
// (the last one counts), a group or a choice only once.
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

// A label is an option of a choice that is nothing but its name.
enum class kind { group, label, choice, whole, natural, real, flag, text, seed };

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
  bool taken = false;                  // a group or choice that was named

  bool is_value() const { return what != kind::group && what != kind::label; }
  bool is_default() const { return value == fallback; }
};

namespace detail {

inline std::string short_number(double x, int digits = 6) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*g", digits, x);
  return text;
}

// The shortest text that reads back as the same number.
inline std::string canonical(double x) {
  std::string text;
  for (int digits = 6; digits <= 17; ++digits) {
    text = short_number(x, digits);
    if (std::strtod(text.c_str(), nullptr) == x) {
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
  return a.what == kind::real ? detail::canonical(x) : std::to_string(static_cast<long long>(x));
}

// A value as it is printed: CmdStan rounds reals to the digits of the stream.
inline std::string shown(const argument& a, int digits) {
  return a.what == kind::real ? detail::short_number(std::strtod(a.value.c_str(), nullptr), digits)
                              : a.value;
}

inline std::string placeholder(const argument& a) {
  switch (a.what) {
    case kind::group:
    case kind::label:
      return "";
    case kind::choice:
      return "=<list_element>";
    case kind::whole:
      return "=<int>";
    case kind::natural:
      return "=<unsigned int>";
    case kind::real:
      return "=<double>";
    case kind::flag:
      return "=<boolean>";
    default:
      return "=<string>";
  }
}

class reader {
 public:
  explicit reader(std::vector<std::string> words) : words_(std::move(words)) {}

  // Read all words into the tree.
  void read(argument& root) {
    read_children(root);
    if (at_ < words_.size()) {
      const bool lacks_method = !root.children.front().taken;
      throw usage_error(words_[at_] + " is either mistyped or misplaced." + suggestion(root)
                        + (lacks_method ? "\nA method must be specified!" : ""));
    }
    if (!root.children.front().taken) {
      throw usage_error("A method must be specified!");
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
    if (node.taken) {
      return false;
    }
    if (!node.is_value()) {
      if (word != node.name) {
        return false;
      }
      ++at_;
      node.taken = true;
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
          node.taken = true;
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
    std::string places;
    const std::function<void(const argument&, const std::string&)> search
        = [&](const argument& node, const std::string& path) {
            for (const argument& child : node.children) {
              std::string here = path;
              if (node.what == kind::choice) {
                here += node.name + "=" + child.name;
                places += child.name == name ? "\n  " + here : "";
              } else {
                places += child.name == name ? "\n  " + path + name + placeholder(child) : "";
                here += child.what == kind::group ? child.name : "";
              }
              search(child, here.size() > path.size() ? here + " " : path);
            }
          };
    search(root, "");
    return places.empty()
               ? ""
               : "\nPerhaps you meant one of the following valid configurations?" + places;
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
      out << prefix << indent << child.name << " = " << shown(child, 6)
          << (child.is_default() ? " (Default)" : "") << "\n";
    } else {
      out << prefix << indent << child.name << "\n";
    }
    if (child.what == kind::choice) {
      for (const argument& option : child.children) {
        if (option.name == child.value && option.what == kind::group) {
          out << prefix << indent << "  " << option.name << "\n";
          print(option, out, prefix, depth + 2);
        }
      }
    } else {
      print(child, out, prefix, depth + 1);
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
