// What `help`, `help-all`, `METHOD help` and an empty command line print.
#ifndef PYXSTAN_DRIVER_HELP_HPP
#define PYXSTAN_DRIVER_HELP_HPP

#include "grammar.hpp"

#include <iostream>
#include <string>
#include <vector>

namespace pyxstan {

inline void print_help(const argument& node, std::ostream& out, int depth, bool deep) {
  const std::string indent(2 * depth, ' ');
  out << indent << node.name << placeholder(node) << "\n" << indent << "  " << node.help << "\n";
  if (node.is_value()) {
    out << indent << "  Valid values: " << node.valid << "\n"
        << indent << "  Defaults to " << (node.fallback.empty() ? "\"\"" : node.fallback) << "\n";
  } else if (!node.children.empty()) {
    out << indent << "  Valid subarguments: ";
    for (const argument& child : node.children) {
      out << (&child == &node.children.front() ? "" : ", ") << child.name;
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

inline void print_usage(const argument& root, const std::string& program) {
  std::cout << "Usage: " << program
            << " <arg1> <subarg1_1> ... <subarg1_m> ... <arg_n> <subarg_n_1> ... <subarg_n_m>\n\n"
            << "One of these methods,\n";
  const auto line = [](const argument& a) {
    std::cout << "  " << a.name << std::string(a.name.size() < 20 ? 21 - a.name.size() : 1, ' ')
              << a.help << "\n";
  };
  for (const argument& option : root.children.front().children) {
    line(option);
  }
  std::cout << "and any of\n";
  for (std::size_t i = 1; i < root.children.size(); ++i) {
    line(root.children[i]);
  }
  std::cout << "\n`" << program << " help-all` prints all arguments, `" << program
            << " METHOD help` those of a method.\n";
}

// Whether help was asked for, and given.
inline bool answer_help(const std::vector<std::string>& words, const argument& root,
                        const std::string& program) {
  if (words.empty() || (words.back() != "help" && words.back() != "help-all")) {
    return false;
  }
  const bool deep = words.back() == "help-all";
  for (const argument& option : root.children.front().children) {
    if (words.size() > 1 && (words[0] == option.name || words[0] == "method=" + option.name)) {
      print_help(option, std::cout, 0, deep);
      return true;
    }
  }
  if (deep) {
    for (const argument& child : root.children) {
      print_help(child, std::cout, 1, true);
    }
  }
  print_usage(root, program);
  return true;
}

}  // namespace pyxstan

#endif
