import './bot-mark.css';

/** Beside the name of a program. */
export function BotMark() {
  return <span className="bot-mark">Bot</span>;
}
