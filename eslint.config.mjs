import js from '@eslint/js';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['node_modules', '.venv', 'labextension/lib', 'jupyter_qsec/labextension'] },
  js.configs.recommended,
  {
    files: ['labextension/**/*.{ts,tsx}'],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname }
    },
    rules: {
      '@typescript-eslint/naming-convention': [
        'error',
        { selector: 'interface', format: ['PascalCase'], custom: { regex: '^I[A-Z]', match: true } }
      ],
      '@typescript-eslint/no-extraneous-class': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      // Lumino binds the receiver itself: signal.connect(this._onChange, this).
      '@typescript-eslint/unbound-method': 'off',
      curly: 'error',
      eqeqeq: 'error',
      'no-console': 'error'
    }
  },
  {
    files: ['labextension/**/*.mjs'],
    languageOptions: { globals: { process: 'readonly' } }
  },
  {
    // node:test's describe/test return promises that its own runner awaits.
    files: ['labextension/tests/**'],
    rules: { '@typescript-eslint/no-floating-promises': 'off' }
  }
);
