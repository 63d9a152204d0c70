import js from "@eslint/js";
import stylistic from "@stylistic/eslint-plugin";
import globals from "globals";

// What gradio gives a script of gr.HTML(js_on_load=...), and what the page's head holds.
const GRADIO = {
  element: "readonly",
  props: "readonly",
  trigger: "readonly",
  watch: "readonly",
  mapViewerConfiguration: "readonly",
};

export default [
  { ignores: ["**/node_modules/", "**/.venv/", "build/", "dist/"] },
  js.configs.recommended,
  {
    plugins: { "@stylistic": stylistic },
    languageOptions: { ecmaVersion: 2024, sourceType: "module" },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "@stylistic/eol-last": "error",
      "@stylistic/indent": "off",
      "@stylistic/max-len": ["error", { code: 100 }],
      "@stylistic/no-trailing-spaces": "error",
      "@stylistic/quotes": ["error", "double", { avoidEscape: true }],
      "@stylistic/semi": "error",
      "eqeqeq": ["error", "always", { null: "ignore" }],
      "no-implicit-globals": "error",
      "no-shadow": "error",
      "no-var": "error",
      "prefer-const": "error",
    },
  },
  {
    files: ["assets/web/**/*.js", "tests/support/*.js"],
    languageOptions: { globals: globals.browser },
  },
  {
    files: ["assets/web/*.js", "assets/web/*/gradio.js", "assets/web/*/live.js"],
    languageOptions: { globals: GRADIO },
  },
  {
    // Functions that gradio, or a test, calls: such a file is one expression, without a semicolon.
    files: ["assets/web/*.js", "tests/support/*.js"],
    rules: { "@stylistic/semi": "off", "no-unused-expressions": "off" },
  },
  { files: ["tests/js/**/*.js"], languageOptions: { globals: globals.node } },
];
