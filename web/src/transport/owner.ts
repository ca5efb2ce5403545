/**
 * Cookies belong to the browser, a page to one person. The readable cookie says whose the cookies
 * are: a page acts by them only while they are its own person's.
 */

import { Problem } from '../protocol/problem';
import type { UserId } from '../protocol/types';

export class Owner {
  readonly #csrf: () => string | null;
  /** Told who came, when a call finds that it would be theirs. */
  onAnother: (userId: UserId) => void = () => {};
  /** Whose page this is; null: nobody's yet, and calls are anyone's. */
  person: UserId | null = null;

  constructor(csrf: () => string | null) {
    this.#csrf = csrf;
  }

  /**
   * The value for the CSRF header of a call in the name of `person`; throws `another_person` if the
   * cookies are someone else's. If they become so before the browser sends them, the server finds
   * that they do not fit the header.
   */
  look(person: UserId | null): string | null {
    const csrf = this.#csrf();
    const there = csrf?.split('.')[1];
    if (there !== undefined && person !== null && there !== person) {
      this.onAnother(there);
      throw new Problem({ code: 'another_person' });
    }
    return csrf;
  }
}
